"""Objective: a loss as a fold over the scores of candidates, so any blocking, sharing or sharding is the same loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

State = tuple[Tensor, ...]


class Objective(ABC):
    """A loss: fold blocks of scores, merge states, finish with the scores of the known answers.

    A state is a tuple of (b,) tensors. Scores of candidates that must not be counted are -inf. A candidate of weight w
    counts as w equal candidates would, in every sum: weighted draws and expectations are the same folds.

    includes_target: whether a query's own target is one of the candidates (a softmax normalises over it) or must be
    left out (it is no negative). rows: what a row of the batch may be. "either": the summed loss of k targets that
    share a query follows from one state, so grouping equal queries changes the cost and not the loss; "single": one
    row per triple; "grouped": one row per distinct query is part of the definition.
    """

    includes_target: ClassVar[bool]
    rows: ClassVar[Literal["either", "single", "grouped"]]

    @abstractmethod
    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        """(b, n) fp32 scores of candidates -> state. positive: (t,), read by "single" objectives (t = b).

        weight: (1, n) or (b, n) non-negative weights of the candidates; None is 1 for all.
        """

    @abstractmethod
    def merge(self, a: State, b: State) -> State:
        """The state of two disjoint sets of candidates. Associative and commutative."""

    @abstractmethod
    def finish(self, positive: Tensor, row: Tensor, state: State) -> Tensor:
        """(t,) loss of every target from its score, its query row[i] and the states of the queries."""

    def at(self, epoch: float) -> Objective:
        """The objective as it stands after `epoch` epochs; only annealed ones change."""
        return self


def row_sum(values: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """(num_rows,): the sum of values[i] over the i of each row."""
    return values.new_zeros(num_rows).index_add(0, row, values)


def counted(values: Tensor, weight: Tensor | None) -> Tensor:
    """(b,): the sum of the values of all candidates, each as often as it counts."""
    return (values if weight is None else values * weight).sum(-1)


def mean(total: Tensor, count: Tensor) -> Tensor:
    """total / count, and 0 where nothing was counted."""
    return total / count.clamp(min=torch.finfo(count.dtype).tiny)


def kept(scores: Tensor, weight: Tensor | None) -> Tensor:
    """(b,) fp32: how many candidates of each query are counted."""
    return counted((scores > -torch.inf).to(scores.dtype), weight)
