"""Runs a network over a song: chunks in, overlap-added stems out, in constant memory."""
