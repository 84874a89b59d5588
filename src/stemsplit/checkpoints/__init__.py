"""Reads checkpoint files, tells which network they hold, and builds it. Needs PyTorch; `fetch` does not."""
