"""Weights by counts of training triples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Side
from falsum.graph.weighting.base import Trained, Weighting, mean_one, sharing, untrained

Variant = Literal["base", "freq", "uniq"]


@dataclass(frozen=True)
class Equal(Weighting):
    """Every triple counts once."""

    def __call__(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor:
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

    def __call__(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor:
        answer = graph.splits["train"][:, 2 if slot is Side.TAIL else 0]
        query, _ = sharing(graph, slot)
        rarity = 1 / torch.bincount(answer)[answer].double()
        of_query = torch.bincount(query).double()
        if self.form == "exact":
            of_query = of_query / torch.bincount(query, weights=rarity)
        return of_query[query] * rarity


@dataclass(frozen=True)
class Subsampling(Weighting):
    """Frequent triples count less (Kamigaito & Hayashi 2022, base, freq and uniq; base is Sun et al. 2019).

    | variant | the triple counts | its rivals count |
    | base | (#x + #x')^-exponent | the same |
    | freq | (#x + #x')^-exponent | #x^-exponent |
    | uniq | #x^-exponent | the same |

    #x counts the triples with the same question, #x' those with the same question from the other end: their sum stands
    for the count of the triple, which is 1. start: what a count begins with, 4 in all public code, so that a question
    of n triples counts n + start - 1.

    Both columns are scaled to the mean 1 over the training triples. The RotatE code divides each by its sum over the
    batch: then batches count alike, and a triple counts more in a batch of frequent ones.
    """

    variant: Variant = "base"
    exponent: float = 0.5
    start: float = 4.0

    def __post_init__(self) -> None:
        in_range("[-10, 10]", exponent=self.exponent)
        in_range("(0, 1e9]", start=self.start)

    @property
    def separates(self) -> bool:
        return self.variant == "freq"

    def __call__(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor:
        return scheme(self.variant, *self._counts(graph, slot), self.exponent)[0]

    def rivals(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor | None:
        return scheme(self.variant, *self._counts(graph, slot), self.exponent)[1]

    def _counts(self, graph: Graph, slot: Side) -> tuple[Tensor, Tensor]:
        question, other = ((torch.bincount(key)[key] + self.start - 1).log() for key in sharing(graph, slot))
        return question.double(), other.double()


def scheme(variant: Variant, question: Tensor, other: Tensor, exponent: float) -> tuple[Tensor, Tensor | None]:
    """(weights of triples, those of their rivals or None) from the logarithms of #x and #x', (m,) each."""
    triple = torch.logaddexp(question, other)
    own = mean_one(-exponent * (question if variant == "uniq" else triple))
    return own, mean_one(-exponent * question) if variant == "freq" else None


@dataclass(frozen=True)
class ERDNS(Weighting):
    """The rivals of a triple count #x^-kappa, scaled to the mean 1: fewer negatives for each of many answers.

    After Yao et al. 2023, who draw a number of negatives that depends on the frequency of the question. Reconstructed:
    their text was not at hand. A weight has the expectation of a number of draws, and leaves batches of one shape. With
    kappa = 1 all questions have the same negatives in all, however many answers they have.
    """

    kappa: float = 1.0

    def __post_init__(self) -> None:
        in_range("[0, 10]", kappa=self.kappa)

    @property
    def separates(self) -> bool:
        return True

    def __call__(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor:
        return torch.ones(len(graph.splits["train"]), dtype=torch.float64)

    def rivals(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor | None:
        question, _ = sharing(graph, slot)
        return mean_one(-self.kappa * torch.bincount(question)[question].double().log())


# What other weightings start from.
EQUAL, BASE = Equal(), Subsampling()
