"""Computes the networks faster on CUDA devices."""
