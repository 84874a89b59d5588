"""Trains a network on multitracks: data, augmentation, losses, the loop. Only the `train` command imports it."""
