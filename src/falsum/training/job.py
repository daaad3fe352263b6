"""Job: a run with every part built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from falsum.graph.graph import Graph
from falsum.graph.weighting import Trained, Weighting, untrained
from falsum.mutations.base import Mutation
from falsum.noise.base import Sampler
from falsum.objectives.base import Objective
from falsum.objectives.penalties import Penalty
from falsum.scan.scoring import Scorer
from falsum.training.optimizers import Optimizer
from falsum.training.schedules import Schedule

Order = Literal["apart", "together"]


@dataclass(frozen=True)
class Validation:
    """When to validate, on what, and when to stop: see `falsum.recipe.settings.Validate`."""

    every: int
    times: int
    queries: int
    metric: str
    patience: int
    filter_test: bool
    floor: float
    floor_epochs: int

    @property
    def filter_splits(self) -> tuple[str, ...]:
        return ("train", "valid", "test") if self.filter_test else ("train", "valid")


@dataclass(frozen=True)
class Term:
    """One summand of the loss: weight times an objective over the candidates, as they are or mutated.

    redraw: whether its candidates are drawn afresh; otherwise all terms share one draw.
    """

    objective: Objective
    mutation: Mutation | None = None
    weight: float = 1.0
    redraw: bool = False


@dataclass(frozen=True)
class Job:
    """What training needs and nothing else.

    grouped: equal queries share a row. joined: both sides share a batch, possible where head questions are asked as
    tail questions and candidates depend on no query; halves the passes over the tables. order: see
    `falsum.recipe.settings.Train`. trained: opens the run folders that the weighting names. planned: bytes that a
    training keeps or makes at each step, by what they are for.
    """

    graph: Graph
    scoring: Scorer
    terms: tuple[Term, ...]
    weighting: Weighting
    sampler: Sampler
    grouped: bool
    joined: bool
    penalties: Sequence[Penalty]
    optimizer: Optimizer
    schedule: Schedule
    validation: Validation
    epochs: int
    seconds: float
    batch_size: int
    order: Order
    seed: int
    trained: Trained = untrained
    planned: Mapping[str, int] = field(default_factory=dict)

    @property
    def row_wise(self) -> frozenset[str]:
        """Names of the tables that are updated by rows."""
        return frozenset(name for name, table in self.scoring.tables.items() if table.row_wise)
