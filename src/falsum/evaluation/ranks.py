"""Filtered ranks of known answers among all entities, exactly, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import pad

from falsum.errors import UserError
from falsum.graph.graph import BOTH_SIDES, Answers, Graph, Query, Side
from falsum.kernels.compiled import fused
from falsum.models.base import Compare, dot
from falsum.scan.loss import block_size, scores_of
from falsum.scan.scoring import Scoring, encode, gather

# Bytes of one block of (queries x entities) fp32 scores.
BUDGET = 1 << 27
# Matrix products treat the last columns of a ragged matrix by other code, which rounds in another order: identical
# entities there would score differently. Tables are padded to a multiple of this many rows.
TILE = 64


@dataclass(frozen=True)
class Ranks:
    """What is known of the rank of every ranked triple, one row per (triple, side).

    frame columns: split, head, relation, tail (ids), side ("tail" or "head"), greater, equal (rivals scored above and
    equal to the answer, the answer itself not counted), candidates (rivals + 1). Every tie rule and every metric
    follows from these counts.
    """

    frame: pl.DataFrame


def rank(
    scoring: Scoring,
    graph: Graph,
    triples: Tensor,
    *,
    sides: Sequence[Side] = BOTH_SIDES,
    filter_splits: Iterable[str] = ("train", "valid", "test"),
    seen_only: bool = False,
    tolerance: tuple[float, float] = (0.0, 0.0),
    budget: int = BUDGET,
    progress: Callable[[int], None] = lambda done: None,
) -> Ranks:
    """Rank every triple (m, 3) on each side among all entities, in fp32.

    filter_splits: other answers known in these splits are no rivals; none of them gives raw ranks. seen_only: only
    entities of the training split are rivals. tolerance: (relative, absolute) width of a tie, exact by default.
    budget: bytes of a block of scores. progress: called with the number of (triple, side) pairs done so far.

    Raises UserError when a score is not finite, or when all candidates of every query score the same.
    """
    device = scoring.entities.weight.device
    masked = unseen(graph).to(device) if seen_only else None
    frames = []
    done = 0
    table = candidate_table(scoring)
    for side in sides:
        answers = graph.answers(filter_splits, side).to(device)
        query = graph.queries(triples, side, grouped=True).to(device)
        size = max(1, budget // (4 * graph.num_entities))
        blocks: list[tuple[Tensor, Tensor, Tensor]] = []
        with torch.no_grad():
            for rows in torch.arange(len(query), device=device).split(size):
                counts = _rank_block(scoring, table, query.select(rows), answers, masked, tolerance)
                blocks.append(counts)
                done += len(counts[0])
                progress(done)
        frames.append(_frame(graph, query, side, *(torch.cat(parts) for parts in zip(*blocks, strict=True))))
    # One chunk, as the file is read back: means over several are added up in another order.
    frame = pl.concat(frames, rechunk=True)
    if len(frame) > 1 and (frame["equal"] + 1 == frame["candidates"]).all() and (frame["candidates"] > 1).any():
        raise UserError(
            "The model gives every candidate the same score, so there is nothing to rank. It is untrained, or it "
            "collapsed: lower the learning rate or the penalty, or change the initialiser."
        )
    return Ranks(frame)


def _frame(graph: Graph, query: Query, side: Side, greater: Tensor, equal: Tensor, rivals: Tensor) -> pl.DataFrame:
    anchor, relation = query.anchor[query.row], query.relation[query.row] % graph.num_base_relations
    head, tail = (anchor, query.target) if side is Side.TAIL else (query.target, anchor)
    columns = {"head": head, "relation": relation, "tail": tail}
    columns |= {"greater": greater, "equal": equal, "candidates": rivals + 1}
    times = query.weight.long()  # a triple that stands twice is ranked once and counts twice
    frame = pl.DataFrame({name: value.repeat_interleave(times).cpu().numpy() for name, value in columns.items()})
    return frame.with_columns(side=pl.lit(side.value))


def candidate_table(scoring: Scoring) -> Tensor:
    """The entity table as `score_matrix` wants it: in whole tiles for inner products. A copy where E is ragged."""
    weight = scoring.entities.weight.detach()
    ragged = -len(weight) % TILE if scoring.model.compare is dot else 0
    return pad(weight, (0, 0, 0, ragged)) if ragged else weight


def score_matrix(scoring: Scoring, table: Tensor, query: Query) -> Tensor:
    """(b, E) scores of all entities: for ranking and answers. table: of `candidate_table`. Needs eval mode."""
    vector = encode(scoring, query, gather(scoring, query), 0)
    compare: Compare = scoring.model.compare
    if compare is dot:
        return dot(vector, table)[:, : len(scoring.entities.weight)]
    size = block_size(compare, vector)
    return torch.cat([scores_of(compare, vector, rows, table.dtype) for rows in table.split(size)], 1)


def _rank_block(
    scoring: Scoring,
    table: Tensor,
    query: Query,
    answers: Answers,
    masked: Tensor | None,
    tolerance: tuple[float, float],
) -> tuple[Tensor, Tensor, Tensor]:
    """(greater, equal, rivals), each (t,), of the targets of a few queries."""
    scores = score_matrix(scoring, table, query)
    # The answer's score is read from the matrix of its rivals: another operation would differ in the last bits.
    positive = scores[query.row, query.target]
    finite = torch.isfinite(scores.sum(1)).all() if scores.numel() else True
    if not finite:
        raise UserError(
            "The model gives scores that are not finite (NaN or infinity), so ranks would mean nothing. Training "
            "diverged: lower the learning rate, and take an earlier checkpoint."
        )
    slack = tolerance[1] + tolerance[0] * positive.abs()
    low, high = positive - slack, positive + slack
    if masked is not None:
        scores[:, masked] = -torch.inf
    # As many targets at a time as queries: without a compiler each gets a copy of its query's scores.
    parts = zip(*(x.split(max(1, len(query))) for x in (query.row, low, high)), strict=True)
    above, within = (torch.cat(counts) for counts in zip(*(_count_fused(scores, *p) for p in parts), strict=True))
    everyone = scores.shape[1] - (0 if masked is None else int(masked.sum()))
    known = answers.of(query.anchor[query.row], query.relation[query.row])
    other = known.entity != query.target[known.row]
    row, entity = known.row[other], known.entity[other]
    value = scores[query.row[row], entity]
    not_rival = value > -torch.inf
    above = above - _tally(value > high[row], row, len(above))
    within = within - _tally((value >= low[row]) & (value <= high[row]), row, len(above))
    rivals = everyone - _tally(not_rival, row, len(above))
    # The answer ties with itself, unless it is an unseen entity and was masked with the others.
    itself = (scores[query.row, query.target] > -torch.inf).long()
    return above, within - itself, rivals - itself


def _count(scores: Tensor, row: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """How many scores of row[i] lie above high[i], and within [low[i], high[i]]."""
    own = scores[row]
    above = (own > high[:, None]).sum(1, dtype=torch.int32)
    from_low = (own >= low[:, None]).sum(1, dtype=torch.int32)
    return above.long(), (from_low - above).long()


# Counting is so cheap per score that compiling it pays only from blocks sixteen times as large as usual.
_count_fused = fused(_count, work=lambda scores, row, low, high: len(row) * scores.shape[1] // 16)


def _tally(flags: Tensor, row: Tensor, num_rows: int) -> Tensor:
    return torch.zeros(num_rows, dtype=torch.int64, device=row.device).index_add_(0, row, flags.long())


def unseen(graph: Graph) -> Tensor:
    """(E,) bool: entities that no training triple holds."""
    seen = torch.zeros(graph.num_entities, dtype=torch.bool)
    seen[graph.splits["train"][:, [0, 2]].flatten()] = True
    return ~seen
