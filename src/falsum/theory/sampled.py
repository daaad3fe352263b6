"""How near a finite sample with drawn negatives comes to its optimum: the theorem of MCNS (Yang et al., KDD 2020)."""

from __future__ import annotations

from torch import Tensor


def sampled_optimum(positives: Tensor, negatives: Tensor) -> Tensor:
    """ln(positives / negatives): the scores at which negative sampling over these counts of answers comes to rest.

    With T positive draws of p and k T negative ones of q it estimates ln(p / (k q)). Infinite where a count is 0.
    """
    return (positives / negatives).log()


def mean_squared_error(p: Tensor, q: Tensor, negatives: float, samples: float) -> Tensor:
    """E (score - optimum)^2 of every answer, asymptotically: (1 / T) (1 / p - 1 + 1 / (k q) - 1 / k).

    p, q: shares of an answer among positives and negatives. samples: T positives. negatives: k for each of them. It is
    the sum of the variances of ln(share) in both samples. An answer is learned well where it is frequent in either, so
    the worst noise is one that never shows what is likely: the paper's reason for noise that grows with p.
    """
    return (1 / p - 1 + (1 / q - 1) / negatives) / samples
