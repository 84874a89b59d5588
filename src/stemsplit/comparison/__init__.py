"""Runs several models on the same excerpt of a song, and puts their stems side by side."""
