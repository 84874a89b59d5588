"""Training a network on multitracks: data, augmentation, losses, the loop. Imported by the `train` command alone."""
