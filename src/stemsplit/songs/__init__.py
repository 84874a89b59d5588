"""Splits many songs: finds them, plans what is written where, computes, and records what was done."""
