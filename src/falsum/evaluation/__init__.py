"""Ranks by the same scan as losses, the metrics made of them, the protocols behind them, and slices."""
