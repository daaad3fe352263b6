"""How rows start."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from falsum.seeds import generator


def _fill(draw: Callable[..., Tensor], weight: Tensor, seed: int) -> Tensor:
    """The weight itself, filled in place: a second table would double the memory that a large graph needs."""
    plain = weight.detach()
    if plain.device.type == "cpu" and plain.dtype == torch.float32:
        return draw(plain.shape, generator=generator(seed), out=plain)
    return plain.copy_(draw(plain.shape, generator=generator(seed)))


def normal(weight: Tensor, seed: int, *, std: float = 1.0) -> None:
    """N(0, std^2)."""
    _fill(torch.randn, weight, seed).mul_(std)


def uniform(weight: Tensor, seed: int, *, low: float = -1.0, high: float = 1.0) -> None:
    """U(low, high)."""
    _fill(torch.rand, weight, seed).mul_(high - low).add_(low)


def xavier_normal(weight: Tensor, seed: int, *, gain: float = 1.0) -> None:
    """N(0, 2 gain^2 / (rows + width)): the number of rows counts as a fan, as in torch.nn.init on an embedding."""
    normal(weight, seed, std=gain * math.sqrt(2 / sum(weight.shape)))


def xavier_uniform(weight: Tensor, seed: int, *, gain: float = 1.0) -> None:
    """U(-a, a) with a = gain sqrt(6 / (rows + width)); see `xavier_normal`."""
    bound = gain * math.sqrt(6 / sum(weight.shape))
    uniform(weight, seed, low=-bound, high=bound)


INITIALISERS: dict[str, Callable[..., None]] = {
    "normal": normal,
    "uniform": uniform,
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
}
