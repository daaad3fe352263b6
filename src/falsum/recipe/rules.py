"""What the parts of a recipe decide together: which queries share a row, and which tables change row by row."""

from __future__ import annotations

from collections.abc import Sequence

from falsum.noise import All, Noise
from falsum.objectives import Objective
from falsum.objectives.penalties import Penalty, TableLp
from falsum.training.optimizers import Adam, Optimizer

TABLES = frozenset({"entities", "relations"})


def share_rows(objective: Objective, noise: Noise, wanted: bool) -> bool:
    """Whether equal queries share a row of the batch. wanted: whether they may where that changes no loss."""
    return objective.rows == "grouped" or (objective.rows == "either" and noise.groups and wanted)


def row_wise(optimizer: Optimizer, noise: Noise, penalties: Sequence[Penalty | TableLp]) -> frozenset[str]:
    """The tables of which a step changes only the rows that it touched: all or none.

    None where every row has a gradient, since all entities are candidates or a penalty acts on whole tables, and none
    where an optimizer moves rows without one.
    """
    everywhere = isinstance(noise, All) or any(isinstance(penalty, TableLp) for penalty in penalties)
    moves_all = isinstance(optimizer, Adam) and not optimizer.lazy
    return frozenset() if everywhere or moves_all else TABLES
