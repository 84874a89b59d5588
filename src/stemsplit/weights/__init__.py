"""Weights, from where they are published into a network. `store` and `download` need no PyTorch, `checkpoint` does."""
