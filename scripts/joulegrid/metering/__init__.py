"""Measuring energy: the meter, and the protocol of a session."""
