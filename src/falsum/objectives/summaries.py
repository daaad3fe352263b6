"""Summaries: what a loss or a rank must know of the scores of candidates, folded block by block.

A state is a tuple of tensors, one row per query. Scores of candidates that must not be counted are -inf and drop out of
every part. A candidate of weight w counts as w equal candidates would, in every sum: weighted draws and expectations
are the same folds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

State = tuple[Tensor, ...]


class Summary(ABC):
    """An associative, commutative summary of scores: any blocking, order, sharing or sharding gives the same state."""

    @abstractmethod
    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        """(b, n) fp32 scores of candidates -> state. positive: (t,), read by pairwise summaries only (t = b).

        weight: (1, n) or (b, n) non-negative weights of the candidates; None is 1 for all.
        """

    @abstractmethod
    def merge(self, a: State, b: State) -> State:
        """The state of two disjoint sets of candidates."""


class Sums(Summary):
    """A summary whose every part is a sum."""

    def merge(self, a: State, b: State) -> State:
        return tuple(x + y for x, y in zip(a, b, strict=True))


@dataclass(frozen=True)
class Scores(Summary):
    """The scores themselves, (b, n): for few candidates, or few queries. Merging keeps the order of the blocks."""

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        return (scores,)

    def merge(self, a: State, b: State) -> State:
        return (torch.cat([a[0], b[0]], 1),)


@dataclass(frozen=True)
class LogSumExp(Summary):
    """(log-sum-exp, sum, count) of scores / temperature. sums: False leaves sum and count 0, which few losses read."""

    temperature: float | Tensor = 1.0
    sums: bool = False

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        scores = tempered(scores, self.temperature)
        logsumexp = torch.logsumexp(scores if weight is None else scores + weight.log(), -1)
        if not self.sums:
            nothing = scores.new_zeros(len(scores))
            return logsumexp, nothing, nothing
        return logsumexp, counted(scores.masked_fill(scores == -torch.inf, 0), weight), kept(scores, weight)

    def merge(self, a: State, b: State) -> State:
        return torch.logaddexp(a[0], b[0]), a[1] + b[1], a[2] + b[2]


@dataclass(frozen=True)
class SoftplusSum(Sums):
    """(sum of sp(s + offset), count)."""

    offset: float = 0.0

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        return counted(softplus(scores + self.offset), weight), kept(scores, weight)


@dataclass(frozen=True)
class LogitSums(Sums):
    """(sum of sp(s + offset), sum of s + offset, count)."""

    offset: float = 0.0

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        total = counted((scores + self.offset).masked_fill(scores == -torch.inf, 0), weight)
        return counted(softplus(scores + self.offset), weight), total, kept(scores, weight)


@dataclass(frozen=True)
class TiltedSoftplus(Summary):
    """The mean of sp(z) - label z, z = s + offset, under softmax(inverse_temperature s), held constant: (peak, mass,
    weighted sum).

    An online softmax: peak is the largest tilted score so far, and the other parts are relative to it.
    """

    inverse_temperature: float = 1.0
    offset: float = 0.0
    label: float = 0.0

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        # Masked after the product: 0 * -inf is NaN.
        tilt = (self.inverse_temperature * scores.detach()).masked_fill(scores == -torch.inf, -torch.inf)
        peak = tilt.amax(-1).clamp(min=torch.finfo(tilt.dtype).min)  # a query without candidates has peak -inf
        share = torch.exp(tilt - peak[:, None]).masked_fill(scores == -torch.inf, 0)
        loss = softplus(scores + self.offset)
        if self.label:
            loss = loss - self.label * (scores + self.offset).masked_fill(scores == -torch.inf, 0)
        return peak, counted(share, weight), counted(share * loss, weight)

    def merge(self, a: State, b: State) -> State:
        peak = torch.maximum(a[0], b[0])
        from_a, from_b = torch.exp(a[0] - peak), torch.exp(b[0] - peak)
        return peak, a[1] * from_a + b[1] * from_b, a[2] * from_a + b[2] * from_b


@dataclass(frozen=True)
class HingeSum(Sums):
    """(sum of max(0, margin + s - s+), count), each query against its one positive."""

    margin: float = 1.0

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        return counted(torch.relu(self.margin + scores - positive[:, None]), weight), kept(scores, weight)


@dataclass(frozen=True)
class SoftHingeSum(Sums):
    """(sum of sp(margin + s - s+), count), each query against its one positive."""

    margin: float = 0.0

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        return counted(softplus(self.margin + scores - positive[:, None]), weight), kept(scores, weight)


@dataclass(frozen=True)
class FocalSum(Sums):
    """(sum of sigma(z)^gamma sp(z), count) with z = s + offset."""

    gamma: float = 2.0
    offset: float = 0.0

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        values = focal(scores + self.offset, self.gamma).masked_fill(scores == -torch.inf, 0)
        return counted(values, weight), kept(scores, weight)


@dataclass(frozen=True)
class UnsureSum(Sums):
    """(sum of p (1 - p) sp(z), count) with z = s + offset and the factor p (1 - p), p = sigma(z), held constant."""

    offset: float = 0.0

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        return counted(unsure(scores + self.offset), weight), kept(scores, weight)


@dataclass(frozen=True)
class ExcessSum(Sums):
    """(sum of max(0, s - limit), count)."""

    limit: float = 0.0

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        return counted(torch.relu(scores - self.limit), weight), kept(scores, weight)


@dataclass(frozen=True)
class SquareSum(Sums):
    """(sum of (s - level)^2,)."""

    level: float = 0.0

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        return (counted((scores - self.level).masked_fill(scores == -torch.inf, 0).square(), weight),)


@dataclass(frozen=True)
class TiltedExponentials(Summary):
    """(log sum of e^(z + b), log sum of e^b, count, least z) with z = s / temperature and the tilt b = beta z.

    The mean of e^z in proportion to e^b is the quotient of the first two. held: no gradient flows through b. The least
    z, of which none ever flows, is inf where nothing is counted.
    """

    temperature: float = 1.0
    beta: float = 1.0
    held: bool = True

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        z, absent = tempered(scores, self.temperature), scores == -torch.inf
        # Masked after the product: 0 * -inf is NaN.
        tilt = (self.beta * (z.detach() if self.held else z)).masked_fill(absent, -torch.inf)
        tilt = tilt if weight is None else tilt + weight.log()
        least = z.detach().masked_fill(absent, torch.inf).amin(-1)
        return torch.logsumexp(z + tilt, -1), torch.logsumexp(tilt, -1), kept(scores, weight), least

    def merge(self, a: State, b: State) -> State:
        return torch.logaddexp(a[0], b[0]), torch.logaddexp(a[1], b[1]), a[2] + b[2], torch.minimum(a[3], b[3])


def focal(z: Tensor, gamma: float) -> Tensor:
    """sigma(z)^gamma sp(z): the focal loss of a false label (Lin et al. 2017, Eq. 4)."""
    # A power of the sigmoid itself has an infinite slope where that underflows.
    return torch.exp(-gamma * softplus(-z)) * softplus(z)


def unsure(z: Tensor) -> Tensor:
    """p (1 - p) sp(z), p = sigma(z), with p (1 - p) held constant: 0 at z = -inf."""
    p = torch.sigmoid(z.detach())
    return p * (1 - p) * softplus(z)


def tempered(scores: Tensor, temperature: float | Tensor) -> Tensor:
    """scores / temperature, without a pass over them where it is 1."""
    return scores if isinstance(temperature, float) and temperature == 1 else scores / temperature


def counted(values: Tensor, weight: Tensor | None) -> Tensor:
    """(b,): the sum of the values of all candidates, each as often as it counts."""
    return (values if weight is None else values * weight).sum(-1)


def kept(scores: Tensor, weight: Tensor | None) -> Tensor:
    """(b,) fp32: how many candidates of each query are counted."""
    return counted((scores > -torch.inf).to(scores.dtype), weight)
