"""Scores of mixed rows, from coefficients of linear compares."""

from __future__ import annotations

import torch
from torch import Tensor

from falsum.kernels.compare import Compare
from falsum.mutations.base import Mix
from falsum.scan.scoring import pair_scores, scores_of


def mutated_scores(compare: Compare, vector: Tensor, target: Tensor, mix: Mix, dtype: torch.dtype) -> Tensor:
    """(b, n) scores of (b, v) against take * target + (1 - take) * rows, the mix of (1, n) or (b, n) candidates.

    An inner product with a mixed row is the sum of two: with P the targets and V the queries, (V * P) take^T + V ((1 -
    take) * rows)^T, so nothing of size (b, n, w) exists where candidates are shared. Other compares get the rows.
    """
    rows, take = (part[0] if len(part) == 1 else part for part in mix)
    if not compare.linear:
        target = target.unsqueeze(1)
        return scores_of(compare, vector, take * target + (1 - take) * rows, dtype)
    kept = scores_of(compare, vector, (1 - take) * rows, dtype)
    if take.shape[-1] == 1:
        return kept + take.squeeze(-1) * pair_scores(compare, vector, target, dtype)[:, None]
    return kept + scores_of(compare, vector * target, take, dtype)
