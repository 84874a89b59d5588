"""Reads what files say of themselves, one file a container: where the sound lies, and whether all of it is there."""
