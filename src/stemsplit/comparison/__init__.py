"""Runs several models on the same excerpt of a song, and writes their stems side by side."""
