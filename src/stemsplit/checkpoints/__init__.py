"""Reads checkpoint files, infers which network they hold, and builds it. Needs PyTorch, unlike `fetch`."""
