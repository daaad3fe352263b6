"""Hardness: how high the model scores what a noise draws, and what uniform draws would have to do for the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

from falsum.graph.graph import Pairs, expand
from falsum.probe.estimates import Estimate, mean, quantiles, ratio
from falsum.probe.reference import Field, Standings

# A negative is live when its gradient is more than this share of the largest.
LIVE = 0.05
# Reals of candidate rows in memory at a time: 64 MiB.
BLOCK = 1 << 24


@dataclass(frozen=True, slots=True)
class Hardness:
    """How hard negatives are, by a frozen model.

    percentile: mean share of a field of entities that a negative lies above (uniform: .5). gap: 10, 50 and 90 %
    quantiles of (negative - positive score) in standard deviations of the question's scores; above: share above the
    positive. cosine: mean cosine of negative and target rows. live: share of negatives whose logistic loss softplus(s)
    has a gradient of more than LIVE times the largest of any entity for the question.
    """

    percentile: Estimate
    gap: tuple[float, ...]
    above: float
    cosine: float
    live: float

    @property
    def best_of(self) -> float:
        """The M for which the best of M uniform draws is as hard: their mean percentile is M / (M + 1)."""
        return best_of(self.percentile.value)


def best_of(percentile: float) -> float:
    """M = 1 / (1 - H) - 1."""
    return 1 / (1 - percentile) - 1 if percentile < 1 else math.inf


@torch.no_grad()
def hardness(standings: Standings, field: Field, ids: Tensor, weight: Tensor, seed: int) -> Hardness | None:
    """ids: (b, N) negatives; weight: (b, N) float64. None where none count."""
    scores = standings.score(ids)
    place = ratio((field.percentile(scores) * weight).sum(1), weight.sum(1), seed)
    if place is None:
        return None
    flat = weight.flatten()
    gap = (scores - standings.positive[:, None]) / standings.spread[:, None].clamp(min=1e-12)
    share = logsigmoid(scores.double()) - logsigmoid(field.highest.double())[:, None]
    return Hardness(
        percentile=place,
        gap=quantiles(gap.flatten(), flat, (0.1, 0.5, 0.9)),
        above=mean((gap > 0).flatten(), flat),
        cosine=mean(_cosines(standings, ids).flatten(), flat),
        live=mean((share > math.log(LIVE)).flatten(), flat),
    )


def _cosines(standings: Standings, ids: Tensor) -> Tensor:
    """(b, N) cosines of the rows of ids and of the question's target."""
    table, target = standings.scoring.entities, standings.query.target
    size = max(1, BLOCK // (ids.shape[1] * table.width))
    parts = [
        normalize(table.of(own), dim=-1) @ normalize(table.of(answer), dim=-1).unsqueeze(-1)
        for own, answer in zip(ids.split(size), target.split(size), strict=True)
    ]
    return torch.cat(parts).squeeze(-1)


@dataclass(frozen=True)
class Null:
    """Uniform draws of which the best of M is taken, exactly: the noise that buys hardness with nothing but scores.

    percentile: (b, k) of the held-out answers of each question, and which of those places are filled. free: (b,) from
    how many entities it draws.
    """

    percentile: Tensor
    filled: Tensor
    free: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, standings: Standings, field: Field, held_out: Pairs) -> Null:
        ids, filled = padded(held_out, len(standings.query))
        return cls(field.percentile(standings.score(ids)), filled, field.free)

    def hits(self, power: float) -> Tensor:
        """(b,) the probability that the best of M = power uniform draws is a held-out answer.

        The best lies below a percentile p with probability p^M, and an entity takes up 1 / n of the percentiles. Any
        power above 0 means something: below 1 the draws are easier than uniform.
        """
        half = 0.5 / self.free[:, None].clamp(min=1)
        upper, lower = ((self.percentile + way * half).clamp(0, 1) for way in (1, -1))
        return ((upper**power - lower**power) * self.filled).sum(1)

    def enrichment(self, power: float) -> float:
        """How many times as often as uniform the best of M = power draws held-out answers, over the questions."""
        uniform = float((self.filled.sum(1) / self.free.clamp(min=1)).sum())
        return float(self.hits(power).sum()) / uniform if uniform else math.nan


def padded(pairs: Pairs, num: int) -> tuple[Tensor, Tensor]:
    """Pairs, sorted by row, as (num, k) entities and (num, k) bool, which of them are there; k is 1 or more."""
    count = torch.bincount(pairs.row, minlength=num)
    most = max(1, int(count.max()) if num else 0)
    ids = torch.zeros(num, most, dtype=torch.int64, device=pairs.row.device)
    place, row = expand(torch.zeros_like(count), count)
    ids[row, place] = pairs.entity
    return ids, torch.arange(most, device=ids.device) < count[:, None]
