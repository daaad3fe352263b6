"""Slots: how much a question counts by its open slot, as if it were asked so often.

falsum asks both questions of every triple at every step. Where a method draws one of them by chance, here each counts
with twice its chance: the same expectation without the chance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.cardinality import cardinalities
from falsum.graph.graph import Graph


class Slot(ABC):
    """How much questions of a relation count with the tail open, and with the head open."""

    @abstractmethod
    def shares(self, graph: Graph) -> Tensor | None:
        """(2, R) float64 by open slot (tail, head) and base relation, 2 per relation in all; None: 1 everywhere."""


@dataclass(frozen=True)
class Both(Slot):
    """Both slots alike."""

    def shares(self, graph: Graph) -> None:
        return None


@dataclass(frozen=True)
class Bernoulli(Slot):
    """The head counts tph / (tph + hpt), with tph the mean number of tails per head of the relation and hpt that of
    heads per tail (Wang et al. 2014): a relation with many tails per head is asked for heads, where a random answer is
    seldom true.
    """

    def shares(self, graph: Graph) -> Tensor:
        tails_per_head, heads_per_tail = cardinalities(graph)
        head = tails_per_head / (tails_per_head + heads_per_tail)
        return 2 * torch.stack([1 - head, head])


@dataclass(frozen=True)
class OneSide(Slot):
    """Only the slot that is filled by one entity counts: tails where tph < threshold, heads where hpt is.

    many: what happens to relations that have many on both sides: "both" slots count, or "neither". Below 1.5 on average
    a side is not functional: of 237 relations of FB15k-237, 42 have a side with never more than one.
    """

    threshold: float = 1.5
    many: Literal["both", "neither"] = "both"

    def __post_init__(self) -> None:
        in_range("[1, 1e9]", threshold=self.threshold)

    def shares(self, graph: Graph) -> Tensor:
        one = (torch.stack(cardinalities(graph)) < self.threshold).double()
        total = one.sum(0)
        rest = 1.0 if self.many == "both" else 0.0
        return torch.where(total > 0, 2 * one / total.clamp(min=1), rest)


SLOTS: dict[str, type[Slot]] = {"both": Both, "bernoulli": Bernoulli, "one-side": OneSide}
