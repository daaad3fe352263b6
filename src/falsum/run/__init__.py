"""A run folder: everything about one training, written whole or not at all."""
