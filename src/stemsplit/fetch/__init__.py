"""Gets weights from where they are published onto this machine. Never needs PyTorch."""
