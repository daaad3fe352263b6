"""Objective: a loss made of the positives and a summary of the candidates' scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from falsum.objectives.summaries import State, Summary


@dataclass(frozen=True)
class Rivals:
    """What is known of the candidates of every query, its own targets never among them unless a draw hit one.

    state: of the objective's summary, (b,) tensors. everyone: whether the candidates were all entities; then the other
    targets of a query are rivals of each of its targets too, although no scan counted them. num_entities: how many the
    candidates were taken from. mass: (t,) how much the rivals of a target count beside it, None: as much; only
    objectives that are separable ever get one.
    """

    state: State
    everyone: bool
    num_entities: int = 0
    mass: Tensor | None = None


@dataclass(frozen=True)
class Learned:
    """A number that is learned with the tables: its start, and the learning rate of its own Adam.

    positive: it is learned as its logarithm, so that it stays above 0.
    """

    start: float
    lr: float
    positive: bool = False


class Objective(ABC):
    """A loss: `finish` makes it of the scores of the known answers and of a summary of their rivals.

    grouping: whether equal queries may share a row of the batch. "free": the summed loss of k targets that share a
    query follows from one state, so sharing changes the cost and not the loss; "never": a query is held against one
    target; "always": one row per distinct query is part of the definition.

    separable: whether the loss is a part of the target plus a part of its rivals, which `Rivals.mass` then multiplies.
    """

    grouping: ClassVar[Literal["free", "never", "always"]]
    separable: ClassVar[bool] = False

    @property
    @abstractmethod
    def summary(self) -> Summary:
        """What is folded of the candidates' scores. Fast paths are chosen by its type."""

    @abstractmethod
    def finish(self, positive: Tensor, row: Tensor, rivals: Rivals) -> Tensor:
        """(t,) loss of every target from its score, its query row[i] and the rivals of the queries."""

    @property
    def learned(self) -> Mapping[str, Learned]:
        """Parameters of the objective's own, by name; none unless it says so."""
        return {}

    def at(self, epoch: float, learned: Mapping[str, Tensor]) -> Objective:
        """The objective as it stands after `epoch` epochs, with the present values (0-dim) of what it learns."""
        return self


def row_sum(values: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """(num_rows,): the sum of values[i] over the i of each row."""
    return values.new_zeros(num_rows).index_add(0, row, values)


def row_logsumexp(values: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """(num_rows,): log-sum-exp of values[i] over the i of each row; -inf for a row without any."""
    peak = values.detach().new_full((num_rows,), -torch.inf).scatter_reduce(0, row, values.detach(), "amax")
    peak = peak.clamp(min=torch.finfo(values.dtype).min)
    return peak + row_sum(torch.exp(values - peak[row]), row, num_rows).log()


def others_logsumexp(values: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """(t,): log-sum-exp of the other values of each one's row; -inf where there are none.

    The largest value of a row is never subtracted from a sum that it is part of, so nothing cancels.
    """
    fixed = values.detach()
    peak = fixed.new_full((num_rows,), -torch.inf).scatter_reduce(0, row, fixed, "amax")
    place = torch.arange(len(row), device=row.device)
    largest = torch.where(fixed == peak[row], place, len(row))
    first = row.new_full((num_rows,), len(row)).scatter_reduce(0, row, largest, "amin")
    leads = place == first[row]
    rest = row_logsumexp(values.masked_fill(leads, -torch.inf), row, num_rows)[row]
    share = torch.exp(values - peak[row])
    below = peak[row] + (row_sum(share, row, num_rows)[row] - share).masked_fill(leads, 1).log()
    return torch.where(leads, rest, below)


def rivals_total(own: Tensor, row: Tensor, rivals: Rivals) -> tuple[Tensor, Tensor]:
    """(t,) sum and count of a pointwise loss over the rivals of each target, where the state is (sum, count).

    own: (t,) what a target adds to the sums of the other targets of its query, where all entities are candidates.
    """
    total, count = (part[row] for part in rivals.state)
    if rivals.everyone:  # as with one row per triple
        num = len(rivals.state[0])
        total = total + row_sum(own, row, num)[row] - own
        count = count + row_sum(torch.ones_like(own), row, num)[row] - 1
    return total, count


def reduced(total: Tensor, count: Tensor, reduction: str) -> Tensor:
    """The sum over rivals, or their mean."""
    return mean(total, count) if reduction == "mean" else total


def mean(total: Tensor, count: Tensor) -> Tensor:
    """total / count, and 0 where nothing was counted."""
    return total / count.clamp(min=torch.finfo(count.dtype).tiny)


def against(rivals: Rivals, value: Tensor) -> Tensor:
    """(t,): the part of the rivals in a separable loss, each counting as its weighting says."""
    return value if rivals.mass is None else rivals.mass * value
