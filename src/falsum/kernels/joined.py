"""The sum of two compares, of the two halves of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from falsum.kernels.compare import Compare, Gradient
from falsum.kernels.mixing import Mixing, own_taken_fused

Given = tuple[Tensor, ...]


def joined(name: str, first: Compare, second: Compare, width: int) -> Compare:
    """The sum of `first`, of the first halves of rows and the first part of queries, and of `second`, of the rest.

    width: how many more reals than half a row the first part of a query has. Both have gradients and a mixing. Each
    part keeps its own loops: one loop over both halves would choose between them at every entry.
    """
    parts = _Parts(first, second, width)
    return Compare(
        name,
        lambda query, rows: parts.added(lambda compare: compare.score, query, rows),
        by_query=parts.gradient(lambda compare: compare.by_query),
        by_rows=parts.gradient(lambda compare: compare.by_rows),
        mixing=Mixing(
            parts.mixed_score(lambda mixing: mixing.score),
            parts.mixed_gradient(lambda mixing: mixing.by_query),
            parts.mixed_gradient(lambda mixing: mixing.by_target),
            parts.mixed_gradient(lambda mixing: mixing.by_kept),
            parts.mixed_score(lambda mixing: mixing.own_score),
            parts.mixed_gradient(lambda mixing: mixing.own_each),
            own_taken_fused,
        ),
    )


@dataclass(frozen=True)
class _Parts:
    first: Compare
    second: Compare
    width: int

    def halves(self, query: Tensor, *of_rows: Tensor) -> tuple[Given, Given]:
        half = of_rows[0].shape[-1] // 2
        at = half + self.width
        # A share for all entries belongs to both halves.
        parts = [(x, x) if x.shape[-1] == 1 < half else (x[..., :half], x[..., half:]) for x in of_rows]
        return (query[..., :at], *(x for x, _ in parts)), (query[..., at:], *(x for _, x in parts))

    def added(self, of: Callable[[Compare], Callable[..., Tensor]], *given: Tensor) -> Tensor:
        a, b = self.halves(*given)
        return of(self.first)(*a) + of(self.second)(*b)

    def gradient(self, of: Callable[[Compare], Gradient | None]) -> Gradient:
        one, other = of(self.first), of(self.second)
        assert one is not None
        assert other is not None

        def call(grad: Tensor, score: Tensor, query: Tensor, rows: Tensor) -> Tensor:
            a, b = self.halves(query, rows)
            return torch.cat([one(grad, score, *a), other(grad, score, *b)], -1)

        return call

    def mixings(self, of: Callable[[Mixing], Callable[..., Tensor]], given: Given) -> tuple[Tensor, Tensor]:
        """What both make of their part of ..., query, target, kept, take, and an index where there is one."""
        indexed = given[-1].dtype is torch.int64
        *before, query, target, kept, take = given[:-1] if indexed else given
        rest = given[-1:] if indexed else ()
        a, b = self.halves(query, target, kept, take)
        assert self.first.mixing is not None
        assert self.second.mixing is not None
        return of(self.first.mixing)(*before, *a, *rest), of(self.second.mixing)(*before, *b, *rest)

    def mixed_score(self, of: Callable[[Mixing], Callable[..., Tensor]]) -> Callable[..., Tensor]:
        def call(*given: Tensor) -> Tensor:
            one, other = self.mixings(of, given)
            return one + other

        return call

    def mixed_gradient(self, of: Callable[[Mixing], Callable[..., Tensor]]) -> Callable[..., Tensor]:
        def call(*given: Tensor) -> Tensor:
            return torch.cat(self.mixings(of, given), -1)

        return call
