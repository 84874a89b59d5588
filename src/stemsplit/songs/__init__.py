"""Splits many songs: finds them, plans where their files go, computes the stems, and records what was done."""
