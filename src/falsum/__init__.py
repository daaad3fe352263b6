"""falsum: knowledge-graph completion that learns from what is false."""

__version__ = "0.1.0"
