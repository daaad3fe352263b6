"""The reference: one frozen model that every noise is measured against, and where each entity stands in its eyes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.evaluation.ranks import score_matrix
from falsum.graph.graph import Graph, Pairs, Query
from falsum.probe.truths import contains
from falsum.recipe.settings import Recipe
from falsum.recipes import recipe
from falsum.rows.table import Table
from falsum.scan.loss import live
from falsum.scan.scoring import Scorer, Scoring
from falsum.seeds import derive, generator

# Entities that the small model is trained against, all of them; where there are more, SHARED uniform ones a batch.
MOST_TRAINED, SHARED = 5_000, 1024
# Entities that are ranked among all; where there are more, among a uniform panel of PANEL.
MOST_RANKED, PANEL = 20_000, 10_000


@dataclass(frozen=True)
class Field:
    """Those that b questions rank negatives among: all entities, or all that are no training answers.

    others: (b, P) sorted scores, infinite at the end where one does not belong. size: (b,) how many of them are
    finite. free: (b,) how many entities there are, where a panel stands for them.
    """

    others: Tensor
    size: Tensor
    free: Tensor

    @property
    def highest(self) -> Tensor:
        """(b,) the highest score."""
        return self.others.gather(1, (self.size.long() - 1).clamp(min=0)[:, None]).squeeze(1)

    def percentile(self, scores: Tensor) -> Tensor:
        """(b, n) float64 share of the others that scores (b, n) lie above; of those that score equal, half.

        An entity counts as its own equal, so uniform draws have a mean of exactly .5, and the best of M of them one of
        M / (M + 1).
        """
        below, upto = (torch.searchsorted(self.others, scores.contiguous(), side=side) for side in ("left", "right"))
        return (below + upto).double() / 2 / self.size[:, None].clamp(min=1)


@dataclass(frozen=True)
class Standings:
    """Scores of entities for b questions, and where they stand.

    scores: (b, E) of all entities, or None where a panel stands for them. everyone, unanswered: the fields of all
    entities, and of those that are no training answers. positive: (b,) scores of the targets. spread: (b,) standard
    deviation of everyone's.
    """

    scoring: Scoring
    query: Query
    scores: Tensor | None
    everyone: Field
    unanswered: Field
    positive: Tensor
    spread: Tensor

    def score(self, ids: Tensor) -> Tensor:
        """(b, n) fp32 scores of ids (b, n)."""
        if self.scores is not None:
            return self.scores.gather(1, ids)
        return live(self.scoring, 0.0).score(self.query, ids).float()


@torch.no_grad()
def standings(scoring: Scoring, query: Query, known: Pairs, seed: int) -> Standings:
    """known: training answers of the questions. Raises UserError when a score is not finite."""
    exact = replace(scoring, dtype=torch.float32)
    num, device = scoring.entities.num, scoring.device
    if num <= MOST_RANKED:
        scores = score_matrix(exact, query)
        ids = torch.arange(num, device=device).expand(len(query), num)
        ranked, positive = scores, scores.gather(1, query.target[:, None]).squeeze(1)
    else:
        scores, random = None, generator(derive(seed, "panel"), device)
        shared = torch.randint(num, (1, PANEL), generator=random, device=device)
        ids, view = shared.expand(len(query), PANEL), live(exact, 0.0)
        ranked, positive = view.score(query, shared), view.score(query, query.target[:, None]).squeeze(1)
    if not bool(torch.isfinite(ranked).all() & torch.isfinite(positive).all()):
        raise UserError("The reference model gives scores that are not finite: its training diverged. Give another.")
    answered, free = contains(known, ids), torch.full((len(query),), num, device=device, dtype=torch.float64)
    everyone = Field(ranked.sort(1).values, torch.full_like(free, ids.shape[1]), free)
    unanswered = Field(
        ranked.masked_fill(answered, torch.inf).sort(1).values,
        (~answered).sum(1).double(),
        free - torch.bincount(known.row, minlength=len(query)),
    )
    return Standings(exact, query, scores, everyone, unanswered, positive, ranked.std(1))


def quick_recipe(graph: Graph) -> Recipe:
    """A small model that is trained in seconds on small graphs, in a minute or so on one like FB15k-237."""
    size = len(graph.splits["train"])
    small = graph.num_entities <= MOST_TRAINED
    settings = {
        "model.dim": 64,
        "train.epochs": max(4, min(30, 1_500_000 // max(1, size))),
        "train.batch_size": max(100, min(1000, size // 50)),
        "validation.every": 0,
        "noise": {"name": "all"} if small else {"name": "uniform", "num": SHARED, "shared": "batch"},
    }
    return recipe("default", graph).changed(**settings, name="probe reference")


def with_rows(scorer: Scorer) -> Scoring:
    """The same, known to keep rows. Raises UserError where rows are made for each question."""
    scorer.table("entities")
    assert isinstance(scorer, Scoring)
    return scorer


def dense(scoring: Scoring) -> Scoring:
    """A copy whose tables have dense gradients, and whose products are fp32."""
    return replace(
        scoring,
        entities=_dense(scoring.entities),
        relations=_dense(scoring.relations),
        dropout_entity=0.0,
        dropout_relation=0.0,
        dtype=torch.float32,
    )


def _dense(table: Table) -> Table:
    copy = Table(table.num, table.width).to(table.device)
    with torch.no_grad():
        copy.weight.copy_(table.values)
    return copy
