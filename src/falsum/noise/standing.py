"""Where the targets of a batch stand: which one a question has, its score now, and how near to it is suspicious."""

from __future__ import annotations

import torch
from torch import Tensor

from falsum.graph.graph import Query
from falsum.noise.base import Live


def one_target(query: Query, random: torch.Generator) -> Tensor:
    """(b,): the target of each question; of several, one by chance."""
    if query.single:
        return query.target
    rows = torch.arange(len(query), device=query.row.device)
    start = torch.searchsorted(query.row, rows)
    count = torch.searchsorted(query.row, rows, right=True) - start
    uniform = torch.rand(len(query), generator=random, device=random.device, dtype=torch.float64)
    return query.target[start + (uniform * count).long()]


def target_scores(query: Query, live: Live) -> Tensor:
    """(b,): the score of each question's target now; of several, the lowest."""
    asked = query if query.single else query.select(query.row)
    own = live.score(asked, query.target[:, None])[:, 0]
    if query.single:
        return own
    return own.new_full((len(query),), torch.inf).scatter_reduce(0, query.row, own, "amin")


def ceilings(mean: Tensor, target: Tensor, share: float) -> Tensor:
    """(b,): the score above which a candidate is nearly as good as the target: mean + share (target - mean).

    NV-Retriever (Moreira et al. 2024) drops negatives above 95 % of the positive's score, which needs scores with a
    zero. Here the mean score of a question's candidates is the zero, so that shifting all scores changes nothing.
    Infinite where the target scores no more than the mean: a model that knows so little can suspect nobody.
    """
    return torch.where(target > mean, mean + share * (target - mean), torch.inf)
