"""Weights by scores: of a model trained before, or of the one that is being trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, Side
from falsum.graph.weighting.base import Scored, Trained, Weighting, mean_one, shared_logsumexp, sharing, untrained
from falsum.graph.weighting.counts import BASE, EQUAL, Variant, scheme

# Triples that are scored at a time.
TRIPLES = 4096


@dataclass(frozen=True)
class ModelBased(Weighting):
    """Subsampling by the expectation of a trained model in place of counts (Feng et al. 2023).

    source: the folder of a trained run. Every count is replaced by the sum of e^score over the training triples that it
    counts, and the rest is `Subsampling` with exponent `temperature` (tried in the paper: 2, 1, 0.5, 0.1, 0.05, 0.01).
    share, counts: the weights are share of these and 1 - share of `counts`, both of mean 1 (their MIX).
    """

    source: str
    variant: Variant = "base"
    temperature: float = 0.5
    share: float = 1.0
    counts: Weighting = BASE

    def __post_init__(self) -> None:
        in_range("[-10, 10]", temperature=self.temperature)
        in_range("[0, 1]", share=self.share)
        if not self.source:
            raise ValueError("source must name the folder of a trained run")

    @property
    def separates(self) -> bool:
        return self.variant == "freq" or self.counts.separates

    def __call__(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor:
        return self._mixed(self._own(graph, slot, trained)[0], self.counts(graph, slot, trained))

    def rivals(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor | None:
        if not self.separates:
            return None
        own, rivals = self._own(graph, slot, trained)
        counts = self.counts.rivals(graph, slot, trained)
        counts = self.counts(graph, slot, trained) if counts is None else counts
        return self._mixed(own if rivals is None else rivals, counts)

    def now(self, query: Query, live: Scored) -> Query:
        return self.counts.now(query, live)

    def _mixed(self, own: Tensor, counts: Tensor) -> Tensor:
        return self.share * own + (1 - self.share) * counts * (len(counts) / counts.sum())

    def _own(self, graph: Graph, slot: Side, trained: Trained) -> tuple[Tensor, Tensor | None]:
        scores = scores_of_train(graph, slot, trained(self.source))
        question, other = (shared_logsumexp(scores, key) for key in sharing(graph, slot))
        return scheme(self.variant, question, other, self.temperature)


def scores_of_train(graph: Graph, slot: Side, model: Scored) -> Tensor:
    """(m,) float64 score of every training triple, asked with `slot` open."""
    query = graph.queries(graph.splits["train"], slot, grouped=False)
    parts = torch.arange(len(query)).split(TRIPLES)
    scores = [model.score(query.select(part), query.target[part, None]).flatten() for part in parts]
    return torch.cat(scores).double().cpu()


@dataclass(frozen=True)
class TANS(Weighting):
    """`counts` times (the sum of e^(s+) over the answers to the same question in the batch)^temperature.

    Temperature-adaptive negative sampling (Feng et al. 2024), after the public code of its precursor: the present model
    says how frequent a question is, in place of or besides its count. temperature may be negative, which mutes frequent
    questions. The factors are held constant, and scaled so that neither the weights of the batch nor those of its
    rivals change in sum: raw exponentials of scores would be a learning rate that runs away with their size.
    """

    temperature: float = -0.5
    counts: Weighting = EQUAL

    def __post_init__(self) -> None:
        in_range("[-10, 10]", temperature=self.temperature)

    @property
    def separates(self) -> bool:
        return self.counts.separates

    def __call__(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor:
        return self.counts(graph, slot, trained)

    def rivals(self, graph: Graph, slot: Side, trained: Trained = untrained) -> Tensor | None:
        return self.counts.rivals(graph, slot, trained)

    @torch.no_grad()
    def now(self, query: Query, live: Scored) -> Query:
        query, row = self.counts.now(query, live), query.row
        anchor, relation = query.anchor[row], query.relation[row]
        single = replace(query, anchor=anchor, relation=relation, row=torch.arange(len(row), device=row.device))
        scores = live.score(single, query.target[:, None]).flatten()
        _, key = torch.unique(torch.stack([anchor, relation]), dim=1, return_inverse=True)
        tilt = mean_one(self.temperature * shared_logsumexp(scores, key))
        rivals = None if query.rival_weight is None else _tilted(query.rival_weight, tilt)
        return replace(query, weight=_tilted(query.weight, tilt), rival_weight=rivals)


def _tilted(weight: Tensor, tilt: Tensor) -> Tensor:
    """weight * tilt, with the sum of weight."""
    tilted = weight * tilt.to(weight.dtype)
    return tilted * (weight.sum() / tilted.sum())
