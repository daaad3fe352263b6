"""What turns ids into scores: rows gathered once per batch, and query vectors made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from falsum.graph.graph import Query
from falsum.kernels.dropout import dropout
from falsum.models.base import Relations, ScoreModel
from falsum.rows.table import Table
from falsum.seeds import derive


@dataclass(frozen=True)
class Scoring:
    """What turns ids into scores: tables, model, and how they are regularised and rounded while training.

    dropout_entity, dropout_relation: rates on looked-up rows, candidates included. dtype: of inner products
    (bfloat16 or float32); distances are always fp32.
    """

    entities: Table
    relations: Table
    model: ScoreModel
    dropout_entity: float = 0.0
    dropout_relation: float = 0.0
    dtype: torch.dtype = torch.float32


class Gathered(NamedTuple):
    """The rows of a batch as the tables hold them: anchor (b, dim), relations, target (t, dim)."""

    anchor: Tensor
    relations: Relations
    target: Tensor


def gather(scoring: Scoring, query: Query) -> Gathered:
    """Read every row that a batch needs once; relations once per distinct relation."""
    unique, index = torch.unique(query.relation, return_inverse=True)
    rows = scoring.entities.rows(torch.cat([query.anchor, query.target]))
    anchor, target = rows.split([len(query.anchor), len(query.target)])
    return Gathered(anchor, Relations(scoring.relations.rows(unique), index), target)


def encode(scoring: Scoring, query: Query, rows: Gathered, seed: int) -> Tensor:
    """(b, v) query vectors. Dropout masks: one per query for anchors and relation vectors."""
    anchor, relations = rows.anchor, rows.relations
    if scoring.model.training:
        own = torch.arange(len(query), device=anchor.device)
        anchor = dropout(anchor, own, scoring.dropout_entity, derive(seed, "anchor"))
        if scoring.dropout_relation:
            if not scoring.model.relation_is_matrix:  # matrices have one mask per distinct relation
                relations = Relations(relations.each(), own)
            ids = torch.arange(len(relations.rows), device=anchor.device)
            masked = dropout(relations.rows, ids, scoring.dropout_relation, derive(seed, "relation"))
            relations = Relations(masked, relations.index)
    return scoring.model.query(anchor, relations, query.side)
