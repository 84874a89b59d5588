"""Several models for one song: an ensemble combines their stems, a route takes each stem from its own model."""
