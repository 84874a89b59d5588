"""Measures estimates of stems, or a model's, against the true stems of songs."""
