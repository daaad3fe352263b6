"""Gradients: how far the loss over drawn candidates pulls the model from where the loss over all entities would."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.graph.graph import Query
from falsum.noise.base import Candidates, Live, Sampler
from falsum.objectives.softmax import SoftmaxCrossEntropy
from falsum.probe.draws import Draws
from falsum.probe.reference import Standings
from falsum.scan.loss import loss
from falsum.scan.scoring import Scoring
from falsum.seeds import derive

# Parameters of a model beyond which its whole gradient is not made again and again.
MOST_PARAMETERS = 50_000_000


@dataclass(frozen=True, slots=True)
class Gradient:
    """The gradient of the softmax loss over drawn candidates, of all parameters, beside that over all entities.

    bias: |mean - full| / |full|, corrected for the number of redraws. cosine: of the mean and the full gradient.
    variance: trace of the covariance over redraws / |full|^2, for the minibatch.
    """

    bias: float
    cosine: float
    variance: float


def full_gradient(scoring: Scoring, query: Query) -> Tensor:
    """(p,) gradient over all entities: softmax minus what is asked for, through the score model."""
    return _gradient(scoring, query, Candidates(range(scoring.entities.num)))


def gradient(
    scoring: Scoring, query: Query, sampler: Sampler, live: Live, full: Tensor, seed: int, redraws: int
) -> Gradient:
    """scoring: with dense gradients, in evaluation mode. query: a minibatch, the same for every noise."""
    total, squares = torch.zeros_like(full), 0.0
    for turn in range(redraws):
        with torch.no_grad():
            drawn = sampler.draw(query, derive(seed, turn, "gradient"), live)
        own = _gradient(scoring, query, drawn)
        total += own
        squares += float(own.square().sum())
    return moments(total / redraws, squares / redraws, full, redraws)


def moments(mean: Tensor, square: float, full: Tensor, redraws: int) -> Gradient:
    """mean: (p,) of the redraws. square: the mean of their squared norms.

    The mean of R redraws lies off its expectation by tr Cov / R, in the mean square, which no bias is.
    """
    size = float(full.square().sum())
    own = float(mean.square().sum())
    variance = max(0.0, square - own) * redraws / max(1, redraws - 1)
    off = max(0.0, float((mean - full).square().sum()) - variance / redraws)
    cosine = float(mean @ full) / math.sqrt(own * size) if own and size else math.nan
    return Gradient(math.sqrt(off / size) if size else math.nan, cosine, variance / size if size else math.nan)


def _gradient(scoring: Scoring, query: Query, candidates: Candidates) -> Tensor:
    """(p,) of the mean loss of the questions."""
    weights = list(scoring.parameters().values())
    for weight in weights:
        weight.grad = None
    loss(scoring, SoftmaxCrossEntropy(), query, candidates, 0).mean().backward()
    parts = [torch.zeros_like(w).flatten() if w.grad is None else w.grad.flatten() for w in weights]
    for weight in weights:
        weight.grad = None
    return torch.cat(parts).double()


@torch.no_grad()
def false_mass(standings: Standings, draws: Draws, held_out: Tensor) -> float:
    """Share of the negatives' gradient that held-out truths carry, under the softmax loss over the draws.

    A negative's part is w e^s / (e^(s of the target) + sum of w e^s) of its draw. held_out: (b, N) bool.
    """
    logits = standings.score(draws.ids).double() + draws.shift + draws.weight.log()
    hit = total = 0.0
    for turn in range(int(draws.turns.max()) + 1):
        own = draws.turns == turn
        part = torch.cat([standings.positive.double()[:, None], logits[:, own]], 1).softmax(1)[:, 1:]
        hit, total = hit + float(part[held_out[:, own]].sum()), total + float(part.sum())
    return hit / total if total else math.nan
