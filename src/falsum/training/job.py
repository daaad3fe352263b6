"""Job: a run with every part built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from falsum.graph.graph import Graph
from falsum.graph.weighting import Weighting
from falsum.noise.base import Draw
from falsum.objectives.base import Objective
from falsum.objectives.penalties import Penalty, TableLp
from falsum.scan.scoring import Scoring
from falsum.training.optimizers import Optimizer
from falsum.training.schedules import Schedule


@dataclass(frozen=True)
class Validation:
    """See `falsum.recipe.settings.Validate`: when to validate, on what, and when to stop."""

    every: int = 5
    times: int = 0
    queries: int = 0
    metric: str = "mrr"
    patience: int = 10
    filter_test: bool = False
    floor: float = 0.0
    floor_epochs: int = 50

    @property
    def filter_splits(self) -> tuple[str, ...]:
        return ("train", "valid", "test") if self.filter_test else ("train", "valid")


@dataclass(frozen=True)
class Job:
    """A run with every part built: what `train` needs and nothing else.

    grouped: equal queries share a row. joined: both sides share a batch, possible where head questions are asked as
    tail questions and every query has the same candidates; halves the passes over the tables.
    """

    graph: Graph
    scoring: Scoring
    objective: Objective
    weighting: Weighting
    draw: Draw
    grouped: bool
    joined: bool
    penalties: Sequence[Penalty | TableLp]
    optimizer: Optimizer
    row_wise: frozenset[str]
    schedule: Schedule
    validation: Validation
    epochs: int
    seconds: float
    batch_size: int
    seed: int
