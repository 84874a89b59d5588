"""Computes the networks faster on CPUs."""
