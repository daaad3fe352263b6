"""Scores of mixed rows, from coefficients. Nothing of size queries x candidates x width is kept.

Candidates stand in blocks: (c, n) of them serve (c, s) queries, c = 1 where a batch shares them, s = 1 where each query
has its own. Each distinct entity has one row and one share per entry, so a mask costs what the entities cost, however
often they are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from falsum.kernels.compare import Compare
from falsum.kernels.distances import TINY
from falsum.kernels.mixing import Mixing
from falsum.mutations.base import Mix, Spread
from falsum.scan.picked import pays, picks
from falsum.scan.scoring import at_a_time, pair_scores, scores_of


def mixed_scores(
    compare: Compare, vector: Tensor, target: Tensor, mix: Mix, dtype: torch.dtype, index: Tensor | None = None
) -> Tensor:
    """(b, n) scores of vector (b, v) against take * target + (1 - take) * rows, target (b, w).

    mix: of (u, w) rows that all queries share, with index (c, n) of those that each block of queries meets (None: all);
    or of (b, n, w) rows, each query's own.
    """
    if mix.rows.dim() == 3:
        return _own(compare, vector, target, mix, dtype)
    if compare.linear:
        return _products(compare, vector, target, mix, dtype, index)
    num = len(vector)
    everyone = torch.arange(len(mix.rows), device=vector.device)[None]
    return _blocks(compare, vector, target, mix, everyone if index is None else index)[:num]


def distinct(ids: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """The entities among ids (c, n) of num, each once and in order (u,), and where among them each stands (c, n)."""
    # Marks cost a pass over all entities; a sort costs twenty times as much as a pass over the draws.
    if num > 64 * ids.numel():
        return torch.unique(ids, return_inverse=True)
    seen = torch.zeros(num, dtype=torch.bool, device=ids.device)
    seen[ids.reshape(-1)] = True
    place = torch.cumsum(seen, 0) - 1
    return seen.nonzero().flatten(), place[ids]


def _own(compare: Compare, vector: Tensor, target: Tensor, mix: Mix, dtype: torch.dtype) -> Tensor:
    target = target.unsqueeze(1)
    scores = scores_of(compare, vector, mix.take * target + (1 - mix.take) * mix.rows, dtype)
    if mix.spread is None:
        return scores
    return _spread(scores, (vector.unsqueeze(1) * (target - mix.rows)).square().sum(-1), mix)


def _spread(mean: Tensor, squares: Tensor, mix: Mix) -> Tensor:
    """squares: (b, n), of the query's entries times the difference of target and candidate, summed."""
    assert mix.spread is not None
    variance, normal = mix.spread
    if normal is None:
        return mean + variance * squares / 2
    # The slope of a root is infinite at 0, where a candidate is the target.
    return mean + (variance * squares + TINY).sqrt() * normal


def _products(
    compare: Compare, vector: Tensor, target: Tensor, mix: Mix, dtype: torch.dtype, index: Tensor | None
) -> Tensor:
    """With queries V and targets P inner products with a mix are V ((1 - take) * rows)^T + (V * P) take^T."""
    rows, take, spread = mix
    kept = (vector, (1 - take) * rows)
    if take.shape[-1] == 1:
        own = pair_scores(compare, vector, target, dtype)[:, None]
        share = take.squeeze(-1) if index is None else _of_each(take.squeeze(-1)[index], len(vector))
        scores = _inner(compare, [kept], dtype, index) + share * own
    else:
        scores = _inner(compare, [kept, (vector * target, take)], dtype, index)
    if spread is None:
        return scores
    square = vector * vector
    squares = _inner(compare, [(square, rows * rows), (square * target, -2 * rows)], vector.dtype, index)
    squares = (squares + (square * target * target).sum(-1)[:, None]).clamp(min=0)
    if index is not None:
        variance, normal = spread
        at = None if normal is None else _of_each(normal[index], len(vector))
        spread = Spread(_of_each(variance[index], len(vector)), at)
    return _spread(scores, squares, mix._replace(spread=spread))


def _inner(
    compare: Compare, pairs: Sequence[tuple[Tensor, Tensor]], dtype: torch.dtype, index: Tensor | None
) -> Tensor:
    """(b, n): the sum over pairs of vector (b, w) times rows (u, w), or rows[index].

    One product of joined pairs would make a gradient of the mask too, which nobody needs.
    """
    if index is None:
        return sum((scores_of(compare, *pair, dtype) for pair in pairs[1:]), start=scores_of(compare, *pairs[0], dtype))
    vector, rows = pairs[0]
    if len(index) == len(vector) and pays(len(rows), index.shape[1], dtype):
        return picks(pairs, index, dtype)
    turns = [*_turns(index, rows.shape[1], *(x for x, _ in pairs))]
    parts = []
    for *queries, own in turns:
        given = (compare, [*zip(queries, (rows for _, rows in pairs), strict=True)], own, dtype)
        parts.append(_gathered(*given) if len(turns) == 1 else checkpoint(_gathered, *given, use_reentrant=False))
    return torch.cat(parts).flatten(0, 1)[: len(vector)]


def _gathered(compare: Compare, pairs: Sequence[tuple[Tensor, Tensor]], index: Tensor, dtype: torch.dtype) -> Tensor:
    ids = index.reshape(-1)
    parts = [compare.scores(query, rows.index_select(0, ids).view(*index.shape, -1), dtype) for query, rows in pairs]
    return sum(parts[1:], start=parts[0])


def _of_each(shared: Tensor, num: int) -> Tensor:
    """(c, n) of blocks as (num, n) of queries."""
    return shared.repeat_interleave(-(-num // len(shared)), 0)[:num]


def _turns(index: Tensor, width: int, *of_queries: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Some blocks at a time, so that their candidates' rows fit: (c', s, w) of each (b, w), and index (c', n)."""
    blocks = [_blocked(x, len(index)) for x in of_queries]
    size = at_a_time(index.shape[1] * width)
    return zip(*(x.split(size) for x in blocks), index.split(size), strict=True)


def _blocked(of_queries: Tensor, blocks: int) -> Tensor:
    """(b, w) -> (blocks, s, w), zeros where the last ones have none."""
    share = -(-len(of_queries) // blocks)
    short = blocks * share - len(of_queries)
    filled = torch.nn.functional.pad(of_queries, (0, 0, 0, short)) if short else of_queries
    return filled.view(blocks, share, -1)


# Other compares


def _blocks(compare: Compare, vector: Tensor, target: Tensor, mix: Mix, index: Tensor) -> Tensor:
    query, answer = _blocked(vector, len(index)), _blocked(target, len(index))
    if compare.mixing is not None:
        scores = _Mixed.apply(query, answer, mix.rows, mix.take, index, compare.mixing)
    else:
        size = at_a_time(query.shape[1] * index.shape[1] * target.shape[1])
        turns = zip(query.split(size), answer.split(size), index.split(size), strict=True)
        scores = torch.cat([checkpoint(_finished, compare, *turn, mix, use_reentrant=False) for turn in turns])
    return scores.flatten(0, 1)


def _finished(compare: Compare, query: Tensor, target: Tensor, index: Tensor, mix: Mix) -> Tensor:
    """(c, s, n) scores of the rows themselves."""
    take, rows = (x.index_select(0, index.reshape(-1)).view(*index.shape, -1)[:, None] for x in (mix.take, mix.rows))
    finished = take * target.unsqueeze(2) + (1 - take) * rows
    return compare(query.unsqueeze(2), finished).squeeze(2)


class _Mixed(torch.autograd.Function):
    """(c, s, n) scores of query (c, s, v) and target (c, s, w) with rows (u, w), take (u, w), index (c, n)."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, target: Tensor, rows: Tensor, take: Tensor, index: Tensor, mixing: Mixing
    ) -> Tensor:
        score = mixing.score(query, target, rows, take, index)
        ctx.save_for_backward(query, target, rows, take, index, score)
        ctx.mixing = mixing
        return score

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, target, rows, take, index, score = ctx.saved_tensors
        into = torch.zeros_like(rows)
        by_query: list[Tensor] = []
        by_target: list[Tensor] = []
        # What is summed over the entities of a block has a row for each of them first: some blocks at a time.
        size = at_a_time(index.shape[1] * rows.shape[1])
        parts = (x.split(size) for x in (grads[0], score, query, target, index))
        for grad, value, q, p, own in zip(*parts, strict=True):
            given = (grad, value, q, p, rows, take, own)
            for gathered, part in zip((by_query, by_target), ctx.mixing.by_queries(*given), strict=True):
                gathered.append(part)
            into.index_add_(0, own.reshape(-1), ctx.mixing.by_rows(*given).flatten(0, 1))
        return torch.cat(by_query), torch.cat(by_target), into, None, None, None
