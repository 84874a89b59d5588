"""Faster implementations of the networks for CUDA devices."""
