"""The checks. Each takes the run and gives an outcome; nothing is reached but through its ports."""
