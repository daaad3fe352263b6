"""Ways to the state of a scan, and the one table that chooses among them.

A path is looked up by (compare, summary), then by (compare, None), then among the generic ones: the first that pays is
taken. A model or objective without a path of its own is slower, never refused; every path gives the generic state and
gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from falsum.graph.graph import Pairs
from falsum.kernels.compare import DOT, Compare
from falsum.kernels.dropout import dropout
from falsum.mutations.base import Mix, Mutation
from falsum.noise.base import each
from falsum.objectives.summaries import LogSumExp, Scores, SquareSum, State, Summary, tempered
from falsum.rows.table import Table
from falsum.scan.dot_softmax import Shares, dot_softmax
from falsum.scan.gathered import gathered_scores
from falsum.scan.mutated import distinct, mixed_scores
from falsum.scan.picked import pays, picked_scores
from falsum.scan.scoring import Asked, at_a_time, block_size, scores_of
from falsum.seeds import derive


@dataclass(frozen=True, slots=True)
class Scan:
    """What is to be folded: a batch of b queries against candidates.

    positive: (t,) scores of the targets. ids, weight, drop, shift: see `Candidates`, but that positive has had its
    shift. mutation: needs one target per query.
    """

    asked: Asked
    summary: Summary
    positive: Tensor
    ids: range | Tensor
    weight: Tensor | None
    drop: Pairs | None
    mutation: Mutation | None
    shift: Tensor | None = None


class Path(NamedTuple):
    """One way to a state, and whether it can and should be taken."""

    pays: Callable[[Scan], bool]
    state: Callable[[Scan], State]


def state_of(scan: Scan) -> State:
    """The summary of a scan's candidates, (b,) tensors, by the first path that pays. Differentiable."""
    compare, summary = scan.asked.compare, type(scan.summary)
    ways = (*PATHS.get((compare, summary), ()), *PATHS.get((compare, None), ()), *GENERIC)
    return next(way for way in ways if way.pays(scan)).state(scan)


# All entities


def _blocks_state(scan: Scan) -> State:
    """Block by block, each recomputed in the backward pass instead of kept."""
    asked, state = scan.asked, None
    # Without loops that mix, every query has rows of its own.
    finished = scan.mutation is not None and not asked.compare.linear and asked.compare.mixing is None
    size = at_a_time(asked.vector.numel()) if finished else block_size(asked.compare, asked.vector)
    for ids, rows in asked.rows.blocks(size):
        inside = None if scan.drop is None else within(scan.drop, int(ids[0]), int(ids[0]) + len(ids))
        masked = dropout(rows, ids.expand(rows.shape[:-1]), asked.rate, asked.seed)
        part = checkpoint(_block_state, scan, ids, masked, inside, use_reentrant=False, preserve_rng_state=False)
        state = part if state is None else scan.summary.merge(state, part)
    assert state is not None
    return state


def _block_state(scan: Scan, ids: Tensor, rows: Tensor, drop: Pairs | None) -> State:
    asked = scan.asked
    if scan.mutation is None:
        scores = scores_of(asked.compare, asked.vector, rows, asked.dtype)
    else:
        scores = _mixed(scan, ids.expand(rows.shape[:-1]), rows)
    if drop is not None:
        scores = scores.index_put(tuple(drop), scores.new_tensor(-torch.inf))
    return scan.summary.fold(scores, scan.positive)


def _softmax_state(scan: Scan) -> State:
    """The softmax of inner products with a table, without an fp32 matrix of scores."""
    asked, summary = scan.asked, scan.summary
    assert isinstance(summary, LogSumExp)
    assert isinstance(asked.rows, Table)
    assert scan.drop is not None
    scaled = tempered(asked.vector, summary.temperature)
    shares = None if scan.mutation is None else _shares(scan, scan.mutation, scaled)
    logsumexp, total = dot_softmax(
        scaled, asked.rows, scan.drop, asked.rate, asked.seed, asked.dtype, sums_scores=summary.sums, shares=shares
    )
    if not summary.sums:
        return logsumexp, total, total
    # The sum is of every entity; the dropped ones are the targets, whose scores are known, mixed or not.
    total = total.index_add(0, scan.drop.row, -scan.positive / summary.temperature)
    count = asked.rows.num - torch.bincount(scan.drop.row, minlength=len(total))
    return logsumexp, total, count.to(total.dtype)


def _shares(scan: Scan, mutation: Mutation, scaled: Tensor) -> Shares:
    """Of the mix of all entities: a share per entry, or one per entity."""
    asked = scan.asked
    ids = torch.arange(asked.rows.num, device=scaled.device)
    take = mutation.mix(ids, scaled.new_empty(asked.rows.num, asked.rows.width), derive(asked.seed, "mutation")).take
    by_entry = scaled * asked.target
    return Shares(by_entry if take.shape[-1] > 1 else by_entry.sum(-1, keepdim=True), take)


def _softmax_pays(scan: Scan) -> bool:
    if scan.mutation is not None and not scan.mutation.only_shares:
        return False
    if not isinstance(scan.ids, range) or not isinstance(scan.asked.rows, Table):
        return False
    assert isinstance(scan.summary, LogSumExp)
    assert scan.drop is not None
    return not scan.summary.sums or len(scan.drop.row) == len(scan.positive)


def _gram_state(scan: Scan) -> State:
    """The squares of inner products with a table through the Gram matrix of its rows: sum_e (q e)^2 = q (E^T E) q.

    width^2 a query and no score per entity, in the dtype of the query: rounded products would not cancel.
    """
    asked, summary, width = scan.asked, scan.summary, scan.asked.rows.width
    assert isinstance(summary, SquareSum)
    assert scan.drop is not None
    vector, level = asked.vector, summary.level
    gram, total = vector.new_zeros(width, width), vector.new_zeros(width)
    for ids, rows in asked.rows.blocks(at_a_time(width)):
        masked = dropout(rows, ids, asked.rate, asked.seed)
        gram, total = gram + masked.mT @ masked, total + masked.sum(0)
    squares = ((vector @ gram) * vector).sum(-1) - 2 * level * (vector @ total) + level**2 * asked.rows.num
    # A target that the noise leaves out too stands twice among the pairs.
    pair = torch.unique(scan.drop.row * asked.rows.num + scan.drop.entity)
    row, entity = pair // asked.rows.num, pair % asked.rows.num
    left_out = dropout(asked.rows.of(entity), entity, asked.rate, asked.seed)
    scores = (vector.index_select(0, row) * left_out).sum(-1)
    return (squares.index_add(0, row, -(scores - level).square()),)


def _gram_pays(scan: Scan) -> bool:
    """The Gram matrix costs as much as the scores of as many queries as rows are wide."""
    whole = scan.mutation is None and isinstance(scan.ids, range) and isinstance(scan.asked.rows, Table)
    return whole and scan.asked.rows.width <= len(scan.asked.vector)


# Drawn candidates


def _drawn_state(scores: Callable[[Asked, Tensor], Tensor]) -> Callable[[Scan], State]:
    """Fold (b, n) scores of drawn candidates, made by `scores`: they are small, the rows behind them need not be."""

    def state(scan: Scan) -> State:
        assert isinstance(scan.ids, Tensor)
        return _fold_drawn(scan, scan.ids, scores(scan.asked, scan.ids))

    return state


def _fold_drawn(scan: Scan, ids: Tensor, scores: Tensor) -> State:
    num = len(scan.asked.vector)
    weight = None if scan.weight is None else each(scan.weight.to(scores.dtype), num)
    if scan.shift is not None:
        shift = each(scan.shift.to(scores.dtype), num)
        # Masked after the sum: what is left out must have no gradient either, and 0 times infinity is none.
        scores = (scores + shift).masked_fill(shift == -torch.inf, -torch.inf)
    if scan.drop is not None:
        scores = scores.masked_fill(_hits(scan.drop, each(ids, num), scan.asked.rows.num), -torch.inf)
    if weight is not None:
        scores = scores.masked_fill(weight == 0, -torch.inf)
    return scan.summary.fold(scores, scan.positive, weight)


def _gathered(asked: Asked, ids: Tensor) -> Tensor:
    assert isinstance(asked.rows, Table)
    return gathered_scores(asked.compare, asked.vector, asked.rows, ids, asked.rate, asked.seed, asked.dtype)


def _picked(asked: Asked, ids: Tensor) -> Tensor:
    assert isinstance(asked.rows, Table)
    return picked_scores(asked.vector, asked.rows, ids, asked.rate, asked.seed, asked.dtype)


def _made(asked: Asked, ids: Tensor) -> Tensor:
    """Scores of rows that are made for each query."""
    num = len(asked.vector)
    rows = dropout(asked.rows.of(each(ids, num)), each(ids, num), asked.rate, asked.seed)
    return scores_of(asked.compare, asked.vector, rows, asked.dtype)


def _mutated_state(scan: Scan) -> State:
    """Each distinct entity of a draw is mixed once. Made rows: some queries at a time, made again in the backward."""
    asked, num = scan.asked, len(scan.asked.vector)
    assert isinstance(scan.ids, Tensor)
    if isinstance(asked.rows, Table):
        entities, index = (scan.ids[0], None) if len(scan.ids) == 1 else distinct(scan.ids, asked.rows.num)
        rows = dropout(asked.rows.of(entities), entities, asked.rate, asked.seed)
        return _fold_drawn(scan, scan.ids, _mixed(scan, entities, rows, index))
    ids = each(scan.ids, num)
    turns = torch.arange(num, device=ids.device).split(at_a_time(ids.shape[1] * asked.rows.width))
    parts = [checkpoint(_mutated_turn, scan, rows, ids[rows], use_reentrant=False) for rows in turns]
    return _fold_drawn(scan, scan.ids, torch.cat(parts))


def _mutated_turn(scan: Scan, queries: Tensor, ids: Tensor) -> Tensor:
    asked = scan.asked
    rows = dropout(asked.rows.select(queries).of(ids), ids, asked.rate, asked.seed)
    vector, target = asked.vector.index_select(0, queries), asked.target.index_select(0, queries)
    own = replace(scan, asked=replace(asked, vector=vector, target=target), positive=scan.positive[queries])
    return _mixed(own, ids, rows)


def _mixed(scan: Scan, ids: Tensor, rows: Tensor, index: Tensor | None = None) -> Tensor:
    """(b, n) scores of mixed candidates: ids (n,) with rows (n, w), index (c, n) into them or None; or (b, n, w)."""
    asked, mutation = scan.asked, scan.mutation
    assert mutation is not None
    mix = mutation.mix(ids, rows, derive(asked.seed, "mutation"))
    scores = mixed_scores(asked.compare, asked.vector, asked.target, mix, asked.dtype, index)
    if not mutation.selective:
        return scores
    unmixed = Mix(rows, rows.new_zeros(*rows.shape[:-1], 1))
    plain = mixed_scores(asked.compare, asked.vector, asked.target, unmixed, asked.dtype, index)
    return torch.where(mutation.chosen(plain.detach(), scan.positive.detach()), scores, plain)


def drawn_scores(asked: Asked, ids: range | Tensor) -> Tensor:
    """(b, n) scores against candidates range(E) or (c, n), the cheapest way."""
    return state_of(Scan(asked, Scores(), asked.vector.new_zeros(0), ids, None, None, None))[0]


# The table


def _draws_of_table(scan: Scan) -> bool:
    return isinstance(scan.ids, Tensor) and isinstance(scan.asked.rows, Table) and scan.mutation is None


def _picks_pay(scan: Scan) -> bool:
    if not _draws_of_table(scan):
        return False
    assert isinstance(scan.ids, Tensor)
    own, num = len(scan.ids) == len(scan.asked.vector) > 1, scan.ids.shape[1]
    return own and pays(scan.asked.rows.num, num, scan.asked.dtype)


PATHS: Mapping[tuple[Compare, type[Summary] | None], tuple[Path, ...]] = {
    (DOT, LogSumExp): (Path(_softmax_pays, _softmax_state),),
    (DOT, SquareSum): (Path(_gram_pays, _gram_state),),
    (DOT, None): (Path(_picks_pay, _drawn_state(_picked)),),
}
GENERIC = (
    Path(lambda scan: isinstance(scan.ids, range), _blocks_state),
    Path(_draws_of_table, _drawn_state(_gathered)),
    Path(lambda scan: scan.mutation is not None, _mutated_state),
    Path(lambda scan: True, _drawn_state(_made)),
)


# Pairs


def within(pairs: Pairs, start: int, stop: int) -> Pairs:
    """The pairs with an entity in [start, stop), counted from start."""
    inside = (pairs.entity >= start) & (pairs.entity < stop)
    return Pairs(pairs.row[inside], pairs.entity[inside] - start)


def _hits(drop: Pairs, ids: Tensor, num_entities: int) -> Tensor:
    """(b, n) bool: whether (i, ids[i, j]) is one of the pairs."""
    rows = torch.arange(len(ids), device=ids.device)[:, None]
    return torch.isin(rows * num_entities + ids, drop.row * num_entities + drop.entity)
