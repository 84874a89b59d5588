"""How good a model's stems are, by figures that hear what SDR does not."""
