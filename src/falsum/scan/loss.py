"""The loss of a batch: gather, mutate, compare, fold, merge, finish. Sampled and 1-vs-all training are the same code.

values = loss(scoring, objective, query, candidates, seed)      # one value per target
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from falsum.graph.graph import Pairs, Query
from falsum.mutations.base import Mutation
from falsum.noise.base import Candidates, Live, each
from falsum.objectives.base import Objective, Rivals
from falsum.scan.paths import Scan, drawn_scores, state_of
from falsum.scan.scoring import Asked, Scorer, evaluating, pair_scores, scores_of


def loss(
    scorer: Scorer,
    objective: Objective,
    query: Query,
    candidates: Candidates,
    seed: int,
    *,
    mutation: Mutation | None = None,
    asked: Asked | None = None,
) -> Tensor:
    """(t,) loss of every target of the batch against the candidates. Differentiable; fp32.

    mutation: changes each candidate against each target. asked: of `scorer.ask` for this batch, where it was asked
    already. Queries that share a row are given a row per target where the loss needs one: a mutation mixes with one
    target, and objectives that never group hold candidates against one.
    """
    asked = asked or scorer.ask(query, candidates, seed)
    if not query.single and (mutation is not None or objective.grouping == "never"):
        asked, query, candidates = _singly(asked, query, candidates)
    positive = pair_scores(asked.compare, asked.vector.index_select(0, query.row), asked.target, asked.dtype)
    if candidates.own_shift is not None:
        positive = positive + candidates.own_shift.to(positive.dtype)
    # Over all entities, nobody's target is counted: `finish` knows of targets what nobody else does.
    everyone = isinstance(candidates.ids, range)
    drop = _with_targets(candidates.drop, query) if everyone else candidates.drop
    shift, weight = candidates.shift, candidates.weight
    scan = Scan(asked, objective.summary, positive, candidates.ids, weight, drop, mutation, shift)
    mass = None if query.rival_weight is None else query.rival_weight / query.weight
    rivals = Rivals(state_of(scan), everyone and candidates.drop is None, asked.rows.num, mass)
    values = objective.finish(positive, query.row, rivals)
    return values if candidates.share is None else values * candidates.share.to(values.dtype)[query.row]


def live(scoring: Scorer, epoch: float) -> Live:
    """What a sampler may see of the model as it stands."""

    @torch.no_grad()
    def ask(query: Query) -> Asked:
        with evaluating(scoring.model):
            return scoring.ask(query, Candidates(range(0)), 0)

    @torch.no_grad()
    def score(query: Query, ids: range | Tensor) -> Tensor:
        return drawn_scores(ask(query), ids)

    def against(query: Query, rows: Tensor) -> Tensor:
        asked = ask(query)
        return scores_of(asked.compare, asked.vector, rows, asked.dtype)

    @torch.no_grad()
    def rows(ids: Tensor) -> Tensor:
        return scoring.table("entities").of(ids)

    return Live(score, rows, against, epoch)


def _with_targets(drop: Pairs | None, query: Query) -> Pairs:
    """The pairs and the targets, sorted by row."""
    targets = Pairs(query.row, query.target)
    if drop is None:
        return targets
    row, order = torch.sort(torch.cat([drop.row, targets.row]), stable=True)
    return Pairs(row, torch.cat([drop.entity, targets.entity])[order])


def _singly(asked: Asked, query: Query, candidates: Candidates) -> tuple[Asked, Query, Candidates]:
    """The batch with one row per target."""
    row = query.row
    alone = torch.arange(len(row), device=row.device)
    single = replace(query, anchor=query.anchor[row], relation=query.relation[row], row=alone)
    return (
        replace(asked, vector=asked.vector.index_select(0, row), rows=asked.rows.select(row)),
        single,
        Candidates(
            candidates.ids if isinstance(candidates.ids, range) else _repeated(candidates.ids, row, len(query)),
            None if candidates.weight is None else _repeated(candidates.weight, row, len(query)),
            None if candidates.drop is None else candidates.drop.select(row),
            None if candidates.shift is None else _repeated(candidates.shift, row, len(query)),
            candidates.own_shift,
            None if candidates.share is None else candidates.share[row],
        ),
    )


def _repeated(shared: Tensor, row: Tensor, num_queries: int) -> Tensor:
    """What serves queries (c, n) as what serves rows of them; what all share stays shared."""
    return shared if len(shared) == 1 else each(shared, num_queries)[row]
