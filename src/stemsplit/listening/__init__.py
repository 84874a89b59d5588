"""Lets people hear, see and compare what was split, in a browser."""
