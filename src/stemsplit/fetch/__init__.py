"""Downloads published weights to this machine, and finds those that are here already. Never needs PyTorch."""
