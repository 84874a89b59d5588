"""What machines that split into one output folder share: which songs are whose, notes, and what has become of songs."""
