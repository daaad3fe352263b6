"""Typed settings: parts by name, the file that holds them, and what is assembled from them."""
