"""Weighting: how much each training triple counts, and what it may ask of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NoReturn, Protocol

import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.graph.graph import Graph, Query, Side


class Scored(Protocol):
    """What a weighting may ask of a model: see `falsum.noise.Live`, which is one."""

    @property
    def score(self) -> Callable[[Query, Tensor], Tensor]:
        """(query of b rows, ids (c, n)) -> (b, n) fp32, without gradients."""


Trained = Callable[[str], Scored]


def untrained(source: str) -> NoReturn:
    """Where nobody opens run folders. Raises UserError."""
    raise UserError(
        f"The recipe reads the trained run {source!r}, and nothing here opens run folders: train it by `falsum.train`, "
        "`falsum.Run` or the command line, or give `assemble` what opens them (falsum.run.trained.opener)."
    )


class Weighting(ABC):
    """Weights of training triples: they multiply the loss of a triple's question, not its penalty."""

    @property
    def separates(self) -> bool:
        """Whether the rivals of a triple get weights of their own: see `rivals`."""
        return False

    @abstractmethod
    def __call__(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor:
        """(m,) float64 weight of every training triple as a question with `slot` open. trained: opens run folders."""

    def rivals(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor | None:
        """(m,) float64: how much the part of the loss counts that belongs to rivals; None: as much as the triple."""
        return None

    def now(self, query: Query, live: Scored) -> Query:
        """The batch, weighted by the model as it is at this step; live: that model."""
        return query


def mean_one(logarithm: Tensor) -> Tensor:
    """e^logarithm, (m,), scaled to the mean 1."""
    return len(logarithm) * logarithm.softmax(0)


def shared_logsumexp(values: Tensor, key: Tensor) -> Tensor:
    """(m,): log-sum-exp of all values that have the key of each, (m,) int64 from 0 on."""
    size = int(key.max()) + 1 if len(key) else 0
    peak = values.new_full((size,), -torch.inf).scatter_reduce(0, key, values, "amax")
    return (peak + values.new_zeros(size).index_add(0, key, (values - peak[key]).exp()).log())[key]


def sharing(graph: Graph, slot: Side) -> tuple[Tensor, Tensor]:
    """(m,) int64 each, from 0 on: the question of every training triple, and the question that opens its other end."""
    head, relation, tail = graph.splits["train"].unbind(1)
    anchor, answer = (head, tail) if slot is Side.TAIL else (tail, head)
    question, other = (
        torch.unique(end * graph.num_relations + relation, return_inverse=True)[1] for end in (anchor, answer)
    )
    return question, other
