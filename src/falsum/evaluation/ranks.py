"""Filtered ranks of known answers among all entities, exactly, in bounded memory: a scan whose summary is counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import pad

from falsum.errors import UserError
from falsum.graph.graph import BOTH_SIDES, Answers, Graph, Pairs, Query, Side
from falsum.kernels.compiled import fused
from falsum.noise.base import Candidates
from falsum.objectives.summaries import State, Sums
from falsum.scan.paths import within
from falsum.scan.scoring import Asked, Scorer, block_size, scores_of

# Bytes of one block of (queries x entities) fp32 scores.
BUDGET = 1 << 27
# With fewer queries than the first, reading the table costs more than its products. Where no more fit against all
# entities at a time, as many as the second are held against blocks of them, twice: first for the answers' scores, then
# for the counts.
FEW, MANY = 32, 256
# Matrix products treat the last columns of a ragged matrix by other code, which rounds in another order: identical
# entities there would score differently. Blocks are padded to a multiple of this many rows.
TILE = 64


@dataclass(frozen=True)
class Ranks:
    """What is known of the rank of every ranked triple, one row per (triple, side).

    frame columns: split, head, relation, tail (ids), side ("tail" or "head"), greater, equal (rivals scored above and
    equal to the answer, the answer itself not counted), candidates (rivals + 1). Every tie rule and every metric
    follows from these counts.
    """

    frame: pl.DataFrame


@dataclass(frozen=True)
class Counts(Sums):
    """(greater, equal): how many scores of query row[i] lie above the answer i, and within its tie.

    low, high: (t,) the ends of the tie. Scores that must not be counted are -inf.
    """

    row: Tensor
    low: Tensor
    high: Tensor

    def fold(self, scores: Tensor, positive: Tensor, weight: Tensor | None = None) -> State:
        # As many targets at a time as queries: without a compiler each gets a copy of its query's scores.
        parts = zip(*(x.split(max(1, len(scores))) for x in (self.row, self.low, self.high)), strict=True)
        counts = [_count_fused(scores, *part) for part in parts]
        return tuple(torch.cat(each) for each in zip(*counts, strict=True))


def rank(
    scoring: Scorer,
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
    device = scoring.device
    masked = unseen(graph).to(device) if seen_only else None
    frames = []
    done = 0
    for side in sides:
        answers = graph.answers(filter_splits, side).to(device)
        query = graph.queries(triples, side, grouped=True).to(device)
        blocks: list[tuple[Tensor, Tensor, Tensor]] = []
        with torch.no_grad():
            fitting = budget // (4 * graph.num_entities)
            size = min(fitting if fitting >= FEW else MANY, scoring.at_once)
            for rows in torch.arange(len(query), device=device).split(size):
                counts = _rank_block(scoring, query.select(rows), answers, masked, tolerance, budget)
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


def score_blocks(asked: Asked, size: int) -> Iterator[tuple[int, Tensor]]:
    """(first entity, (b, n) fp32 scores), over all entities in blocks of about `size`. Needs evaluation mode.

    Equal rows score equally in every place: all blocks of matrix products have the same number of whole tiles.
    """
    if asked.compare.products:
        size = -(-asked.rows.num // -(-asked.rows.num // size))
        size += -size % TILE
    for ids, rows in asked.rows.blocks(size):
        if asked.compare.products:
            filled = rows if len(ids) == size else pad(rows, (0, 0, 0, size - len(ids)))
            yield int(ids[0]), scores_of(asked.compare, asked.vector, filled, rows.dtype)[:, : len(ids)]
        else:  # what differences take decides how many rows come at a time
            turns = rows.split(block_size(asked.compare, asked.vector), -2)
            yield (
                int(ids[0]),
                torch.cat([scores_of(asked.compare, asked.vector, turn, rows.dtype) for turn in turns], 1),
            )


def score_matrix(scoring: Scorer, query: Query) -> Tensor:
    """(b, E) fp32 scores of all entities, as `rank` sees them. Needs evaluation mode."""
    everyone = range(scoring.num_entities)
    asked = scoring.ask(query, Candidates(everyone), 0)
    return torch.cat([scores for _, scores in score_blocks(asked, len(everyone))], 1)


def _rank_block(
    scoring: Scorer,
    query: Query,
    answers: Answers,
    masked: Tensor | None,
    tolerance: tuple[float, float],
    budget: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """(greater, equal, rivals), each (t,), of the targets of a few queries."""
    num = scoring.num_entities
    asked = scoring.ask(query, Candidates(range(num)), 0)
    size = max(1, budget // (4 * max(1, len(query))))
    kept = list(score_blocks(asked, size)) if size >= num else None

    def blocks() -> Iterator[tuple[int, Tensor]]:
        return iter(kept) if kept is not None else score_blocks(asked, size)

    # The answer's score is read from the products of its rivals: another operation would differ in the last bits.
    positive = _picked(query, blocks())
    slack = tolerance[1] + tolerance[0] * positive.abs()
    counts = Counts(query.row, positive - slack, positive + slack)
    known = answers.of(query.anchor[query.row], query.relation[query.row])
    other = known.entity != query.target[known.row]
    known = Pairs(known.row[other], known.entity[other])
    state: State | None = None
    rivals = torch.zeros_like(query.target)
    for start, scores in blocks():
        stop = start + scores.shape[1]
        if masked is not None:
            scores[:, masked[start:stop]] = -torch.inf
        part = counts.fold(scores, positive)
        not_rivals = _of_known(within(known, start, stop), query.row, scores, counts)
        part = (part[0] - not_rivals[0], part[1] - not_rivals[1])
        rivals += scores.shape[1] - (0 if masked is None else int(masked[start:stop].sum())) - not_rivals[2]
        state = part if state is None else counts.merge(state, part)
    assert state is not None
    # The answer ties with itself, unless it is an unseen entity and was masked with the others.
    itself = torch.ones_like(rivals) if masked is None else (~masked[query.target]).long()
    return state[0], state[1] - itself, rivals - itself


def _picked(query: Query, blocks: Iterable[tuple[int, Tensor]]) -> Tensor:
    """(t,) scores of the targets, read from blocks of their queries' scores. Raises UserError for one not finite."""
    positive = torch.zeros(len(query.target), device=query.target.device)
    for start, scores in blocks:
        if scores.numel() and not torch.isfinite(scores.sum(1)).all():
            raise UserError(
                "The model gives scores that are not finite (NaN or infinity), so ranks would mean nothing. Training "
                "diverged: lower the learning rate, and take an earlier checkpoint."
            )
        positive = positive.to(scores.dtype)
        inside = ((query.target >= start) & (query.target < start + scores.shape[1])).nonzero().flatten()
        positive[inside] = scores[query.row[inside], query.target[inside] - start]
    return positive


def _of_known(known: Pairs, row: Tensor, scores: Tensor, counts: Counts) -> tuple[Tensor, Tensor, Tensor]:
    """(above, within the tie, counted at all), each (t,): how many known other answers of each target were counted."""
    value, of, num = scores[row[known.row], known.entity], known.row, len(row)
    above, tied = value > counts.high[of], (value >= counts.low[of]) & (value <= counts.high[of])
    return _tally(above, of, num), _tally(tied, of, num), _tally(value > -torch.inf, of, num)


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
