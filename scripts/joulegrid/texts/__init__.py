"""Texts that studies name: reading them, and the calibration samples that are drawn from them."""
