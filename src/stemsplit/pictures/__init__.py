"""Draws pictures of figures: as SVG within a page, and as characters in a terminal."""
