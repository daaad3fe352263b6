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
    targets of a query are rivals of each of its targets too, although no scan counted them.
    """

    state: State
    everyone: bool


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
    """

    grouping: ClassVar[Literal["free", "never", "always"]]

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


def mean(total: Tensor, count: Tensor) -> Tensor:
    """total / count, and 0 where nothing was counted."""
    return total / count.clamp(min=torch.finfo(count.dtype).tiny)
