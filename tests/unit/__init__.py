"""Tests of the library's login-node half."""
