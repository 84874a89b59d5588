"""Measures stems, or a model, against the true stems of songs."""
