"""Bregman divergences: what negative sampling and softmax cross-entropy measure (Kamigaito & Hayashi 2021, Sec. 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Generator:
    """A convex function of one variable with its first two derivatives. Where it is defined stands beside each."""

    value: Function
    slope: Function
    curvature: Function


# Softmax cross-entropy compares probabilities; z in (0, 1).
SCE = Generator(
    lambda z: z * z.log() + (1 - z) * (1 - z).log(),
    lambda z: z.log() - (1 - z).log(),
    lambda z: 1 / (z * (1 - z)),
)
# Negative sampling compares odds; z > 0.
NS = Generator(
    lambda z: z * z.log() - (1 + z) * (1 + z).log(),
    lambda z: z.log() - (1 + z).log(),
    lambda z: 1 / (z * (1 + z)),
)


def divergence(generator: Generator, a: Tensor, b: Tensor) -> Tensor:
    """d(a, b) = psi(a) - psi(b) - psi'(b) (a - b), elementwise; 0 where a = b, else positive."""
    return generator.value(a) - generator.value(b) - generator.slope(b) * (a - b)


def expected_loss(generator: Generator, ratio: Tensor, modelled: Tensor, weight: Tensor) -> Tensor:
    """sum_y weight (-psi(g) + psi'(g) g - psi'(g) ratio): the divergence of `modelled` g from `ratio`, less psi(ratio).

    The loss of Prop. 1 of Kamigaito & Hayashi 2021: negative sampling with ratio v p_noise / p and g = exp(-score).
    """
    slope = generator.slope(modelled)
    return (weight * (-generator.value(modelled) + slope * modelled - slope * ratio)).sum()
