"""Scores against mixed rows, take * target + kept, kept = (1 - take) * rows, made in the loop that compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from falsum.kernels.compiled import fused


@dataclass(frozen=True, eq=False)
class Mixing:
    """A score of mixed rows and its gradients, without the (c, m, n, w) tensor of mixed rows where loops are fused.

    Of blocks: query (c, m, v), target (c, m, w), kept (c, n, w), take (c, n, w) or (c, n, 1). The gradients take
    (grad, score) before these: by_query (c, m, v), by_target (c, m, w), by_kept (c, n, w). Each is a loop of its own:
    compiled code of two sums at once is ten times slower than two loops.
    own_score and own_each, the gradient by every mixed row (b, n, w), are of queries (b, 1, v) with their own
    candidates: kept (u, w) and take (u, w) or (u, 1) by index (b, n), gathered inside the loop. own_taken makes the
    gradient by the target (b, 1, w) of own_each.
    """

    score: Callable[..., Tensor]
    by_query: Callable[..., Tensor]
    by_target: Callable[..., Tensor]
    by_kept: Callable[..., Tensor]
    own_score: Callable[..., Tensor]
    own_each: Callable[..., Tensor]
    own_taken: Callable[..., Tensor]


def own_taken(each: Tensor, take: Tensor, index: Tensor) -> Tensor:
    """(b, 1, w): the part of each (b, n, w) that take (u, w) or (u, 1) gives to the target, index (b, n)."""
    return (each * take[index]).sum(1, keepdim=True)


own_taken_fused = fused(own_taken)


def mixing_of_gaps(value: Callable[..., Tensor], slope: Callable[..., Tensor], parts: int = 1) -> Mixing:
    """Of a score that depends on gap = query - row alone, its entries in `parts` equal parts, 1 or 2.

    value(*parts of the gap) is the score, slope(grad, score, *parts) the gradient by the first part of rows; by the
    second it is the same of exchanged parts. A loop that writes both parts of rows takes five times as long as two.
    """

    def gaps(query: Tensor, target: Tensor, kept: Tensor, take: Tensor) -> list[Tensor]:
        found = zip(*(seen(x, parts) for x in (query, target, kept, take)), strict=True)
        return [q.unsqueeze(-2) - (t.unsqueeze(-3) * p.unsqueeze(-2) + k.unsqueeze(-3)) for q, p, k, t in found]

    def of_score(*given: Tensor) -> Tensor:
        return value(*gaps(*given))

    def of_query(grad: Tensor, score: Tensor, *given: Tensor) -> Tensor:
        return -slope(grad, score, *gaps(*given)).sum(-2)

    def of_target(grad: Tensor, score: Tensor, query: Tensor, target: Tensor, kept: Tensor, take: Tensor) -> Tensor:
        share = seen(take, parts)[0].unsqueeze(-3)
        return (share * slope(grad, score, *gaps(query, target, kept, take))).sum(-2)

    def of_kept(grad: Tensor, score: Tensor, *given: Tensor) -> Tensor:
        return slope(grad, score, *gaps(*given)).sum(-3)

    def own_gaps(query: Tensor, target: Tensor, kept: Tensor, take: Tensor, index: Tensor) -> list[Tensor]:
        found = zip(*(seen(x, parts) for x in (query, target, kept, take)), strict=True)
        return [q - (t[index] * p + k[index]) for q, p, k, t in found]

    def own_score(*given: Tensor) -> Tensor:
        return value(*own_gaps(*given)).unsqueeze(1)

    def own_each(grad: Tensor, score: Tensor, *given: Tensor) -> Tensor:
        return slope(grad.squeeze(1), score.squeeze(1), *own_gaps(*given))

    def whole(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return function if parts == 1 else partial(_by_parts, function)

    return Mixing(
        fused(of_score, work=_score_work),
        whole(fused(of_query, work=_gradient_work)),
        whole(fused(of_target, work=_gradient_work)),
        whole(fused(of_kept, work=_gradient_work)),
        fused(own_score, work=_own_work),
        whole(fused(own_each, work=_gradient_work)),
        own_taken_fused,
    )


def seen(rows: Tensor, parts: int) -> tuple[Tensor, ...]:
    """The parts of rows; a share for all entries belongs to each."""
    return (rows,) * parts if rows.shape[-1] == 1 else rows.chunk(parts, -1)


def _by_parts(function: Callable[..., Tensor], grad: Tensor, score: Tensor, *given: Tensor) -> Tensor:
    """The gradient by both parts, each in a loop of its own."""
    exchanged = [x if x.dtype is torch.int64 else torch.cat(seen(x, 2)[::-1], -1) for x in given]
    return torch.cat([function(grad, score, *given), function(grad, score, *exchanged)], -1)


def mixing(score: Callable[..., Tensor], by_query: Callable[..., Tensor], by_rows: Callable[..., Tensor]) -> Mixing:
    """Of a compare's own score (query (..., m, v), rows (..., n, w)) and its gradients."""

    def mixed(target: Tensor, kept: Tensor, take: Tensor) -> Tensor:
        return take.unsqueeze(-3) * target.unsqueeze(-2) + kept.unsqueeze(-3)

    def of_score(query: Tensor, target: Tensor, kept: Tensor, take: Tensor) -> Tensor:
        return score(query.unsqueeze(-2), mixed(target, kept, take)).squeeze(-2)

    def each(grad: Tensor, value: Tensor, query: Tensor, *rest: Tensor) -> Tensor:
        """(c, m, n, w): the gradient by every mixed row."""
        return by_rows(grad.unsqueeze(-2), value.unsqueeze(-2), query.unsqueeze(-2), mixed(*rest))

    def of_query(grad: Tensor, value: Tensor, query: Tensor, *rest: Tensor) -> Tensor:
        own = mixed(*rest)
        return by_query(grad.unsqueeze(-2), value.unsqueeze(-2), query.unsqueeze(-2), own).squeeze(-2)

    def of_target(grad: Tensor, value: Tensor, query: Tensor, target: Tensor, kept: Tensor, take: Tensor) -> Tensor:
        return (take.unsqueeze(-3) * each(grad, value, query, target, kept, take)).sum(-2)

    def of_kept(grad: Tensor, value: Tensor, query: Tensor, *rest: Tensor) -> Tensor:
        return each(grad, value, query, *rest).sum(-3)

    def own_score(query: Tensor, target: Tensor, kept: Tensor, take: Tensor, index: Tensor) -> Tensor:
        return score(query, take[index] * target + kept[index])

    def own_each(
        grad: Tensor, value: Tensor, query: Tensor, target: Tensor, kept: Tensor, take: Tensor, index: Tensor
    ) -> Tensor:
        return by_rows(grad, value, query, take[index] * target + kept[index])

    return Mixing(
        fused(of_score, work=_score_work),
        fused(of_query, work=_gradient_work),
        fused(of_target, work=_gradient_work),
        fused(of_kept, work=_gradient_work),
        fused(own_score, work=_own_work),
        fused(own_each, work=_gradient_work),
        own_taken_fused,
    )


def _score_work(query: Tensor, target: Tensor, kept: Tensor, take: Tensor) -> int:
    return query.numel() * kept.shape[-2]


def _own_work(query: Tensor, target: Tensor, kept: Tensor, take: Tensor, index: Tensor) -> int:
    return query.numel() * index.shape[-1]


def _gradient_work(grad: Tensor, score: Tensor, query: Tensor, *rest: Tensor) -> int:
    return grad.numel() * query.shape[-1]
