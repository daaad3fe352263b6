"""Objective distributions in closed form: what softmax(score) is when a loss has reached its minimum.

p: (..., n) shares of the answers of a query. q: (n,) or (..., n) noise. Scores f are free numbers, one per query and
answer. Sources are equations of Kamigaito & Hayashi 2021, corrected where docs/unified-view.md shows that they fail.
"""

from __future__ import annotations

import math

from torch import Tensor


def normalised(weights: Tensor) -> Tensor:
    """weights / their sum over the last dimension."""
    return weights / weights.sum(-1, keepdim=True)


def negative_sampling(p: Tensor, q: Tensor) -> Tensor:
    """p / q, normalised: p itself under uniform noise (Props. 3 and 5)."""
    return normalised(p / q)


def negative_sampling_scores(p: Tensor, q: Tensor, num: float, offset: float = 0.0) -> Tensor:
    """The scores themselves: ln(p / (num q)) - offset (Prop. 2). With q = p(y) this is PMI - ln num (Prop. 4)."""
    return (p / (num * q)).log() - offset


def negative_sampling_minimum(p: Tensor, q: Tensor, num: float) -> Tensor:
    """(...,): the value of the loss at its minimum, which is not 0 (correction to Prop. 2)."""
    noise = num * q
    return (p * ((p + noise) / p).log() + noise * ((p + noise) / noise).log()).sum(-1)


def tempered(p: Tensor, exponent: float) -> Tensor:
    """p^exponent, normalised.

    Self-adversarial sampling with inverse temperature a ends at exponent 1 / (1 + a) (correction to Eqs. 10-13), and so
    does softmax cross-entropy with temperature 1 / (1 + a).
    """
    return normalised(p**exponent)


def self_adversarial_scores(p: Tensor, inverse_temperature: float) -> Tensor:
    """ln S + ln(p) / (1 + a) with S = sum p^(a / (1 + a)): where the scores themselves come to rest."""
    a = inverse_temperature
    return (p ** (a / (1 + a))).sum(-1, keepdim=True).log() + p.log() / (1 + a)


def smoothed_others(p: Tensor, amount: float) -> Tensor:
    """(1 - l) p + l (1 - p) / (n - 1): label smoothing that spares the target (the released code)."""
    return (1 - amount) * p + amount * (1 - p) / (p.shape[-1] - 1)


def smoothed_all(p: Tensor, amount: float) -> Tensor:
    """(1 - l) p + l / n: label smoothing over all candidates (Eq. 17)."""
    return (1 - amount) * p + amount / p.shape[-1]


def all_negatives(p: Tensor) -> Tensor:
    """p / (1 - p), normalised: every other entity a negative once, the target none, so that sigma(f) = p."""
    return normalised(p / (1 - p))


def total_variation(a: Tensor, b: Tensor) -> Tensor:
    """(...,): half the sum of absolute differences, 0 to 1."""
    return (a - b).abs().sum(-1) / 2


def reach(num_entities: int, num: float, share: float = 1.0) -> float:
    """The offset from which a score that is never positive can reach its optimum: ln(E share / num) (T15)."""
    return math.log(num_entities * share / num)
