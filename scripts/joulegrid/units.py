"""Units that are converted; the dataset and the records hold SI units."""

J_PER_KWH = 3.6e6
