"""Objective: a loss as a fold over the scores of candidates, so any blocking, sharing or sharding is the same loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

State = tuple[Tensor, ...]


class Objective(ABC):
    """A loss: fold blocks of scores, merge states, finish with the scores of the known answers.

    A state is a tuple of (b,) tensors. Scores of candidates that must not be counted are -inf.

    includes_target: whether a query's own target is one of the candidates (a softmax normalises over it) or must be
    left out (it is no negative). rows: what a row of the batch may be. "either": the summed loss of k targets that
    share a query follows from one state, so grouping equal queries changes the cost and not the loss; "single": one
    row per triple; "grouped": one row per distinct query is part of the definition.
    """

    includes_target: ClassVar[bool]
    rows: ClassVar[Literal["either", "single", "grouped"]]

    @abstractmethod
    def fold(self, scores: Tensor, positive: Tensor) -> State:
        """(b, n) fp32 scores of candidates -> state. positive: (t,), read by "single" objectives (t = b)."""

    @abstractmethod
    def merge(self, a: State, b: State) -> State:
        """The state of two disjoint sets of candidates. Associative and commutative."""

    @abstractmethod
    def finish(self, positive: Tensor, row: Tensor, state: State) -> Tensor:
        """(t,) loss of every target from its score, its query row[i] and the states of the queries."""


def row_sum(values: Tensor, row: Tensor, num_rows: int) -> Tensor:
    """(num_rows,): the sum of values[i] over the i of each row."""
    return values.new_zeros(num_rows).index_add(0, row, values)


def kept(scores: Tensor) -> Tensor:
    """(b,) fp32: how many candidates of each query are counted."""
    return (scores > -torch.inf).sum(-1, dtype=scores.dtype)
