"""How the built-in model was made. Nothing of this is needed to use it."""
