"""Where entity and relation rows live, how they start, and how their gradients arrive."""
