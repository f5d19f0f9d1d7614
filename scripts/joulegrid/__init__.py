"""joulegrid: a grid of compressed language models on machines, in joules, read against the electricity grid."""

__version__ = "0.1.0"
