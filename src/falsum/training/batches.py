"""The questions of every step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from falsum.graph.graph import BOTH_SIDES, Query, Side, joined
from falsum.seeds import derive, generator
from falsum.training.job import Job

Weights = tuple[Tensor | None, ...]


class Batches:
    """The questions of every step: slices of an epoch's permutation, for both sides, or joined where the job says so.

    "apart": each side has a permutation of its own, of questions that are grouped over the whole split. "together": one
    permutation of triples, so both questions of a triple are asked in one step, and equal questions of a step share a
    row.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.device = job, job.scoring.device
        self.triples = job.graph.splits["train"]
        self.weights = {side: self._weigh(side) for side in BOTH_SIDES}
        self.per_epoch = max(1, math.ceil(len(self.triples) / job.batch_size))
        self.queries = self._asked(self.triples, self.weights) if job.order == "apart" else []
        self._orders: tuple[int, list[Tensor]] | None = None

    def at(self, epoch: int, inside: int) -> list[Query]:
        """The batches of step `inside` of an epoch; one backward pass each."""
        if self.job.order == "apart":
            orders = self._permutations(epoch, [len(query) for query in self.queries])
            return [q.select(self._slice(order, inside)) for q, order in zip(self.queries, orders, strict=True)]
        rows = self._slice(self._permutations(epoch, [len(self.triples)])[0], inside).cpu()
        weights = {side: tuple(w if w is None else w[rows] for w in both) for side, both in self.weights.items()}
        return self._asked(self.triples[rows], weights)

    def _weigh(self, side: Side) -> Weights:
        """(m,) weights of the triples, and of their rivals where the weighting says other ones."""
        job = self.job
        both = (weigh(job.graph, side, job.trained) for weigh in (job.weighting, job.weighting.rivals))
        return tuple(weight if weight is None else weight.float() for weight in both)

    def _asked(self, triples: Tensor, weights: Mapping[Side, Weights]) -> list[Query]:
        job, sides = self.job, []
        for side in BOTH_SIDES:
            own, rivals = weights[side]
            query = job.graph.queries(triples, side, grouped=job.grouped, weight=own, rival_weight=rivals)
            sides.append(query.to(self.device))
        return [joined(sides)] if job.joined else sides

    def _permutations(self, epoch: int, sizes: list[int]) -> list[Tensor]:
        if self._orders is None or self._orders[0] != epoch:
            seeds = [derive(self.job.seed, epoch, "order", i) for i in range(len(sizes))]
            orders = [torch.randperm(n, generator=generator(s)) for n, s in zip(sizes, seeds, strict=True)]
            self._orders = (epoch, [order.to(self.device) for order in orders])
        return self._orders[1]

    def _slice(self, order: Tensor, inside: int) -> Tensor:
        low, high = (len(order) * i // self.per_epoch for i in (inside, inside + 1))
        return order[low:high].sort().values
