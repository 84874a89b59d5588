"""Knows the speakers that the channels of a song are for, and how files say them and order them."""
