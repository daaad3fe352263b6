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
    return _blocks(compare, vector, target, mix, index)[: len(vector)]


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


def _blocks(compare: Compare, vector: Tensor, target: Tensor, mix: Mix, index: Tensor | None) -> Tensor:
    blocks = 1 if index is None else len(index)
    query, answer = _blocked(vector, blocks), _blocked(target, blocks)
    kept = (1 - mix.take) * mix.rows
    if compare.mixing is not None:
        scores = _Mixed.apply(query, answer, kept, mix.take, index, compare)
    elif index is None:
        scores = _finished(compare, query, answer, kept[None], mix.take[None])
    else:
        size = at_a_time(query.shape[1] * index.shape[1] * target.shape[1])
        turns = zip(query.split(size), answer.split(size), index.split(size), strict=True)
        parts = [checkpoint(_gathered_finished, compare, *turn, kept, mix.take, use_reentrant=False) for turn in turns]
        scores = torch.cat(parts)
    return scores.flatten(0, 1)


def _gathered_finished(
    compare: Compare, query: Tensor, target: Tensor, index: Tensor, kept: Tensor, take: Tensor
) -> Tensor:
    return _finished(compare, query, target, _at(kept, index), _at(take, index))


def _finished(compare: Compare, query: Tensor, target: Tensor, kept: Tensor, take: Tensor) -> Tensor:
    """(c, s, n) scores of the rows themselves."""
    finished = take.unsqueeze(1) * target.unsqueeze(2) + kept.unsqueeze(1)
    return compare(query.unsqueeze(2), finished).squeeze(2)


def _at(rows: Tensor, index: Tensor) -> Tensor:
    """rows[index], without the sort in the gradient of plain indexing."""
    return rows.index_select(0, index.reshape(-1)).view(*index.shape, -1)


class _Mixed(torch.autograd.Function):
    """(c, s, n) scores of query (c, s, v) and target (c, s, w) with take * target + kept: kept (u, w), take (u, w) or
    (u, 1), index (c, n) into them or None where all u stand in one block.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, target: Tensor, kept: Tensor, take: Tensor, index: Tensor | None, compare: Compare
    ) -> Tensor:
        mixing = compare.mixing
        assert mixing is not None
        if index is None:
            score = mixing.score(query, target, kept[None], take[None])
        elif query.shape[1] == 1:
            score = mixing.own_score(query, target, kept, take, index)
        else:
            size = at_a_time(index.shape[1] * kept.shape[1])
            parts = zip(*(x.split(size) for x in (query, target, index)), strict=True)
            score = torch.cat([mixing.score(q, p, _at(kept, own), _at(take, own)) for q, p, own in parts])
        ctx.save_for_backward(query, target, kept, take, score, *(() if index is None else (index,)))
        ctx.compare = compare
        return score

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, target, kept, take, score, *indices = ctx.saved_tensors
        if not indices:
            return *_of_block(ctx.compare, grads[0], score, query, target, kept[None], take[None]), *[None] * 3
        into = torch.zeros_like(kept)
        by_query, by_target = [], []
        # What is summed over the entities of a block has a row for each of them first: some blocks at a time.
        size = at_a_time(indices[0].shape[1] * kept.shape[1])
        parts = zip(*(x.split(size) for x in (grads[0], score, query, target, *indices)), strict=True)
        for grad, value, q, p, own in parts:
            if query.shape[1] == 1:
                of_query, of_target, of_kept = _of_own(ctx.compare, grad, value, q, p, kept, take, own)
            else:
                of_query, of_target, of_kept = _of_block(ctx.compare, grad, value, q, p, _at(kept, own), _at(take, own))
            by_query.append(of_query)
            by_target.append(of_target)
            into.index_add_(0, own.reshape(-1), of_kept.flatten(0, 1))
        return torch.cat(by_query), torch.cat(by_target), into, None, None, None


def _of_block(compare: Compare, *given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by query, target and kept, given (grad, score, query, target, kept, take) of blocks."""
    mixing = compare.mixing
    assert mixing is not None
    return mixing.by_query(*given), mixing.by_target(*given), mixing.by_kept(*given)


def _of_own(
    compare: Compare, grad: Tensor, score: Tensor, query: Tensor, target: Tensor, *rest: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same of queries with their own candidates, from the gradient by every mixed row, which is made once."""
    mixing, (kept, take, index) = compare.mixing, rest
    assert mixing is not None
    each = mixing.own_each(grad, score, query, target, *rest)
    by_target = mixing.own_taken(each, take, index)
    if compare.translates:
        return -each.sum(1, keepdim=True), by_target, each
    own = _at(take, index) * target + _at(kept, index)
    assert compare.by_query is not None
    return compare.by_query(grad, score, query, own), by_target, each
