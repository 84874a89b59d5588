"""Makes the built-in model: its recipe, its MIDI songs, the ensemble. Nothing here is needed to use the model."""
