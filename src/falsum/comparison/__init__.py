"""Losses on equal terms: one budget, one tuning, the same seeds and test triples, and intervals of differences."""

from falsum.comparison.budget import Budget, parse_budget
from falsum.comparison.findings import Comparison, Difference
from falsum.comparison.losses import LOSSES, PRESETS, chosen_pairs
from falsum.comparison.page import write_page
from falsum.comparison.study import Standing, Study

__all__ = [
    "LOSSES",
    "PRESETS",
    "Budget",
    "Comparison",
    "Difference",
    "Standing",
    "Study",
    "chosen_pairs",
    "parse_budget",
    "write_page",
]
