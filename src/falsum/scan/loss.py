"""The one driver: gather rows, compare, fold, merge, finish. Sampled and 1-vs-all training are the same code path.

values = loss(batch, tables, model, objective, candidates, ...)      # one value per target
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from falsum.graph.graph import Pairs, Query, Side
from falsum.kernels.compiled import can_compile
from falsum.kernels.dropout import dropout
from falsum.models.base import Compare, ScoreModel, dot
from falsum.noise.base import Candidates
from falsum.objectives.base import Objective, State
from falsum.objectives.penalties import Factors
from falsum.objectives.softmax import SoftmaxCrossEntropy
from falsum.scan.dot_softmax import dot_softmax
from falsum.scan.gathered import gathered_scores
from falsum.scan.picked import pays, picked_scores
from falsum.scan.scoring import Gathered, Scoring, encode, gather
from falsum.seeds import derive

# Elements that one block of candidates may take, scores or (where nothing fuses them) differences: 16 MiB in fp32.
BLOCK = 1 << 22


def loss(
    scoring: Scoring,
    objective: Objective,
    query: Query,
    candidates: Candidates,
    seed: int,
    rows: Gathered | None = None,
) -> Tensor:
    """(t,) loss of every target of the batch against the candidates. Differentiable; fp32. rows: of `gather`.

    Raises ValueError when grouped queries are given to an objective that keeps one row per triple, or to one that
    counts the target among drawn candidates.
    """
    if objective.rows == "single" and not query.single:
        raise ValueError(f"{type(objective).__name__} keeps one query per triple: grouped queries cannot be used")
    rows = rows or gather(scoring, query)
    vector = encode(scoring, query, rows, seed)
    rate = scoring.dropout_entity if scoring.model.training else 0.0
    mask_seed = derive(seed, "candidates")
    target = dropout(rows.target, query.target, rate, mask_seed)
    compare = scoring.model.compare
    positive = compare(vector.index_select(0, query.row).unsqueeze(1), target.unsqueeze(1)).flatten()
    if isinstance(candidates.ids, range):
        state = _all(scoring, objective, query, vector, positive, candidates, rate, mask_seed)
    else:
        state = _sampled(scoring, objective, query, vector, positive, candidates, rate, mask_seed)
    return objective.finish(positive, query.row, state)


def factors(scoring: Scoring, query: Query, rows: Gathered | None = None) -> Factors:
    """What penalties read of a batch, without dropout. rows: of `gather`."""
    rows = rows or gather(scoring, query)
    model = scoring.model
    return Factors(
        rows.anchor,
        rows.relations.rows,
        rows.target,
        row=query.row,
        relation_row=rows.relations.index[query.row],
        moduli=model.moduli,
        query=lambda: _plain_query(model, rows, query.side),
    )


def _plain_query(model: ScoreModel, rows: Gathered, side: Side) -> Tensor:
    """Query vectors as in evaluation: no dropout inside the model, and no batch norm learns from them."""
    training = model.training
    model.eval()
    try:
        return model.query(rows.anchor, rows.relations, side)
    finally:
        model.train(training)


def _all(
    scoring: Scoring,
    objective: Objective,
    query: Query,
    vector: Tensor,
    positive: Tensor,
    candidates: Candidates,
    rate: float,
    seed: int,
) -> State:
    """The state over every entity, block by block, or by a fused path."""
    if type(objective) is SoftmaxCrossEntropy and scoring.model.compare is dot and candidates.drop is None:
        scaled, sums = vector / objective.temperature, objective.label_smoothing > 0
        logsumexp, total = dot_softmax(scaled, scoring.entities.weight, rate, seed, scoring.dtype, sums_scores=sums)
        return logsumexp, total, torch.full_like(total, len(scoring.entities.weight))
    drop = _dropped(objective, query, candidates)
    weight = scoring.entities.weight
    size = block_size(scoring.model.compare, vector)
    table = dropout(weight, torch.arange(len(weight), device=weight.device), rate, seed)
    state: State | None = None
    start = 0
    for rows in table.split(size):
        inside = None if drop is None else _within(drop, start, start + len(rows))
        part = checkpoint(
            _block_state, scoring.model.compare, scoring.dtype, objective, vector, rows, positive, inside,
            use_reentrant=False, preserve_rng_state=False,
        )  # fmt: skip
        state = part if state is None else objective.merge(state, part)
        start += len(rows)
    assert state is not None
    return state


def _block_state(
    compare: Compare,
    dtype: torch.dtype,
    objective: Objective,
    vector: Tensor,
    rows: Tensor,
    positive: Tensor,
    drop: Pairs | None,
) -> State:
    scores = scores_of(compare, vector, rows, dtype)
    if drop is not None:
        scores = scores.index_put(tuple(drop), scores.new_tensor(-torch.inf))
    return objective.fold(scores, positive)


def block_size(compare: Compare, vector: Tensor) -> int:
    """How many candidates to hold against the (b, v) queries at a time."""
    fuses = compare is dot or can_compile(vector.device.type)
    return max(1, BLOCK // max(1, len(vector) if fuses else vector.numel()))


def scores_of(compare: Compare, vector: Tensor, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """compare(vector, rows) in the dtype of vector; inner products are computed in dtype, distances fused."""
    if compare is dot:
        return dot(vector.to(dtype), rows.to(dtype)).to(vector.dtype)
    return compare(vector, rows)


def _sampled(
    scoring: Scoring,
    objective: Objective,
    query: Query,
    vector: Tensor,
    positive: Tensor,
    candidates: Candidates,
    rate: float,
    seed: int,
) -> State:
    """The state over drawn candidates: the (b, n) scores are small, the rows behind them need not be."""
    ids = candidates.ids
    assert isinstance(ids, Tensor)
    scores = _drawn(scoring, vector, ids, rate, seed)
    weight = None if candidates.weight is None else _each(candidates.weight.to(scores.dtype), len(vector))
    if candidates.drop is not None:
        hits = _hits(candidates.drop, _each(ids, len(vector)), len(scoring.entities.weight))
        scores = scores.masked_fill(hits, -torch.inf)
    if weight is not None:
        scores = scores.masked_fill(weight == 0, -torch.inf)
    if objective.includes_target:
        if not query.single:
            raise ValueError(
                f"{type(objective).__name__} over drawn candidates keeps one query per triple, not grouped"
            )
        scores = torch.cat([positive[:, None], scores], 1)
        if weight is not None:
            weight = torch.cat([torch.ones_like(positive)[:, None], weight], 1)
    return objective.fold(scores, positive, weight)


def _drawn(scoring: Scoring, vector: Tensor, ids: Tensor, rate: float, seed: int) -> Tensor:
    """(b, n) scores of the queries against candidates (c, n), the cheapest way."""
    weight, compare = scoring.entities.weight, scoring.model.compare
    if compare is not dot:
        return gathered_scores(compare, vector, scoring.entities, ids, rate, seed)
    if 1 < len(ids) == len(vector) and pays(len(weight), ids.shape[1], scoring.dtype):
        return picked_scores(vector, weight, ids, rate, seed, scoring.dtype)
    return gathered_scores(_DOT[scoring.dtype], vector, scoring.entities, ids, rate, seed)


def _each(shared: Tensor, num_queries: int) -> Tensor:
    """(b, n): the row of every query in a (c, n) that serves ceil(b / c) queries a row."""
    return shared.repeat_interleave(-(-num_queries // len(shared)), 0)[:num_queries]


def _dot_in(dtype: torch.dtype) -> Compare:
    return lambda vector, rows: scores_of(dot, vector, rows, dtype)


_DOT = {dtype: _dot_in(dtype) for dtype in (torch.bfloat16, torch.float32, torch.float64)}


def _dropped(objective: Objective, query: Query, candidates: Candidates) -> Pairs | None:
    """Pairs left out of an exhaustive scan: those of the noise, and the targets where they are no candidates."""
    targets = Pairs(query.row, query.target)
    if objective.includes_target:
        if candidates.drop is None:
            return None
        # Known answers leave, the targets among them stay.
        size = int(candidates.drop.entity.max()) + int(query.target.max()) + 2
        known = candidates.drop.row * size + candidates.drop.entity
        stay = torch.isin(known, targets.row * size + targets.entity)
        return Pairs(candidates.drop.row[~stay], candidates.drop.entity[~stay])
    if candidates.drop is None:
        return targets
    return Pairs(torch.cat([candidates.drop.row, targets.row]), torch.cat([candidates.drop.entity, targets.entity]))


def _within(pairs: Pairs, start: int, stop: int) -> Pairs:
    inside = (pairs.entity >= start) & (pairs.entity < stop)
    return Pairs(pairs.row[inside], pairs.entity[inside] - start)


def _hits(drop: Pairs, ids: Tensor, num_entities: int) -> Tensor:
    """(b, n) bool: whether (i, ids[i, j]) is one of the pairs."""
    rows = torch.arange(len(ids), device=ids.device)[:, None]
    return torch.isin(rows * num_entities + ids, drop.row * num_entities + drop.entity)
