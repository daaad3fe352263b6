"""Scores against mixed rows, take * target + (1 - take) * rows, made inside the loop that compares them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from falsum.kernels.compiled import fused


@dataclass(frozen=True, eq=False)
class Mixing:
    """A score of mixed rows and its gradients, without the (c, m, n, w) tensor of mixed rows where loops are fused.

    All take (query (c, m, v), target (c, m, w), rows (u, w), take (u, w) or (u, 1), index (c, n)): candidate j of
    block i is rows[index[i, j]]. The gradients take (grad, score) before these: by_queries those by query and by
    target, (c, m, v) and (c, m, w), in one loop; by_rows (c, n, w), those by rows[index].
    """

    score: Callable[..., Tensor]
    by_queries: Callable[..., tuple[Tensor, Tensor]]
    by_rows: Callable[..., Tensor]


def mixing(
    score: Callable[..., Tensor],
    by_query: Callable[..., Tensor],
    by_rows: Callable[..., Tensor],
    *,
    translates: bool,
) -> Mixing:
    """Of a compare's own score (query (..., m, v), rows (..., n, w)) and its gradients; see `Compare.translates`."""

    def mixed(target: Tensor, rows: Tensor, take: Tensor, index: Tensor) -> Tensor:
        share = take[index].unsqueeze(-3)
        return share * target.unsqueeze(-2) + (1 - share) * rows[index].unsqueeze(-3)

    def scored(query: Tensor, target: Tensor, rows: Tensor, take: Tensor, index: Tensor) -> Tensor:
        return score(query.unsqueeze(-2), mixed(target, rows, take, index)).squeeze(-2)

    def of_each(grad: Tensor, value: Tensor, query: Tensor, *rest: Tensor) -> Tensor:
        """(c, m, n, w): the gradient by every mixed row."""
        return by_rows(grad.unsqueeze(-2), value.unsqueeze(-2), query.unsqueeze(-2), mixed(*rest))

    def of_queries(
        grad: Tensor, value: Tensor, query: Tensor, target: Tensor, rows: Tensor, take: Tensor, index: Tensor
    ) -> tuple[Tensor, Tensor]:
        each = of_each(grad, value, query, target, rows, take, index)
        by_target = (take[index].unsqueeze(-3) * each).sum(-2)
        if translates:
            return -each.sum(-2), by_target
        own = mixed(target, rows, take, index)
        return by_query(grad.unsqueeze(-2), value.unsqueeze(-2), query.unsqueeze(-2), own).squeeze(-2), by_target

    def of_rows(
        grad: Tensor, value: Tensor, query: Tensor, target: Tensor, rows: Tensor, take: Tensor, index: Tensor
    ) -> Tensor:
        return ((1 - take[index]).unsqueeze(-3) * of_each(grad, value, query, target, rows, take, index)).sum(-3)

    return Mixing(
        fused(scored, work=lambda q, p, r, t, index: q.numel() * index.shape[-1]),
        fused(of_queries, work=_gradient_work),
        fused(of_rows, work=_gradient_work),
    )


def _gradient_work(grad: Tensor, score: Tensor, query: Tensor, *rest: Tensor) -> int:
    return grad.numel() * query.shape[-1]
