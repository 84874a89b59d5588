"""Reads and writes the kinds of tags that files of songs have, and cover art: one file a kind."""
