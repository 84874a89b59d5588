"""Splits the songs of a plan on the machines of a Ray cluster. No other room knows of Ray."""
