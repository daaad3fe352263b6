"""Weighting: how much each training triple counts, for each open slot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from falsum.graph.graph import Graph, Side


class Weighting(ABC):
    """Weights of training triples: they multiply the loss of a triple's question, not its penalty."""

    @abstractmethod
    def __call__(self, graph: Graph, slot: Side) -> Tensor:
        """(m,) float64 weight of every training triple as a question with `slot` open."""


@dataclass(frozen=True)
class Equal(Weighting):
    """Every triple counts once."""

    def __call__(self, graph: Graph, slot: Side) -> Tensor:
        return torch.ones(len(graph.splits["train"]), dtype=torch.float64)


@dataclass(frozen=True)
class BackwardCorrection(Weighting):
    """Weights that turn the softmax share p(y|x) into p(y|x) / p(y) (Kamigaito & Hayashi 2021, Eqs. 15, 16).

    form: "ratio" is #x / #y, the counts of the query and of the answer in the open slot (Eq. 16 and the released code).
    "exact" is the inverse noise matrix itself, (#x / #y) / sum over the answers y' of x of 1 / #y', times the number of
    those answers' triples, so that each query keeps the total weight that it has without correction. Per query the two
    agree up to a factor, which the paper takes for a constant and which is none: see docs/unified-view.md.
    """

    form: Literal["ratio", "exact"] = "exact"

    def __call__(self, graph: Graph, slot: Side) -> Tensor:
        head, relation, tail = graph.splits["train"].unbind(1)
        anchor, answer = (head, tail) if slot is Side.TAIL else (tail, head)
        _, query = torch.unique(anchor * graph.num_relations + relation, return_inverse=True)
        rarity = 1 / torch.bincount(answer)[answer].double()
        of_query = torch.bincount(query).double()
        if self.form == "exact":
            of_query = of_query / torch.bincount(query, weights=rarity)
        return of_query[query] * rarity


WEIGHTINGS: dict[str, type[Weighting]] = {"equal": Equal, "backward-correction": BackwardCorrection}
