"""Faster implementations of the networks for CPUs."""
