"""Measurements, for people to read: `python -m tests.benchmarks.NAME`. They assert nothing."""
