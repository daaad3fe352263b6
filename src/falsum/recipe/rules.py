"""What the parts of a recipe decide together: which queries share a row, and whether tables change row by row."""

from __future__ import annotations

from collections.abc import Sequence

from falsum.noise import Noise
from falsum.objectives.penalties import Penalty
from falsum.training.job import Term
from falsum.training.optimizers import Optimizer


def share_rows(terms: Sequence[Term], noise: Noise, *, wanted: bool) -> bool:
    """Whether equal queries share a row of the batch. wanted: whether they may where that changes no loss.

    Terms that need a row per target, by their objective or a mutation, make it of the shared one.
    """
    forms = {term.objective.grouping for term in terms if term.mutation is None}
    return "always" in forms or (wanted and noise.groups and "free" in forms)


def row_wise(optimizer: Optimizer, noise: Noise, penalties: Sequence[Penalty]) -> bool:
    """Whether a step changes only the rows of the tables that it touched.

    Not where every row has a gradient, since all entities are candidates or a penalty acts on whole tables, and not
    where an optimizer moves rows without one.
    """
    return optimizer.row_wise and not noise.everyone and not any(penalty.whole_tables for penalty in penalties)
