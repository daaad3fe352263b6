"""A small score model of a proposal's own: tables that learn beside the model that is trained."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from falsum.graph.graph import Graph, Query
from falsum.models import MODELS, Relations, ScoreModel
from falsum.noise.base import Size, bytes_of
from falsum.rows.initialisers import INITIALISERS
from falsum.seeds import derive

# Small enough that products of three entries leave a softmax nearly even; Adam's steps do not depend on it.
START = 0.1
# Scores that are made at a time: 16 MiB in fp32.
BLOCK = 1 << 22


class SmallModel(nn.Module):
    """Any score model over all entities, asked by open slot: inverse relations share a row with what they invert.

    Parameters: entities (E, dim), relations (R, w), those of the model. Always in evaluation mode, so draws and what is
    learned from them see one distribution, and nothing is random.
    """

    def __init__(self, name: str, dim: int, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.num_base_relations = graph.num_base_relations
        self.model = MODELS[name](dim)
        self.entities = nn.Parameter(torch.empty(graph.num_entities, dim))
        self.relations = nn.Parameter(torch.empty(graph.num_base_relations, self.model.relation_width))
        self._start()
        self.to(device)

    @torch.no_grad()
    def _start(self) -> None:
        for key, weight in self.named_parameters():
            if weight.dim() > 1:
                part = dict(self.model.relation_init or {}) if key == "relations" else {}
                part = part or {"name": "normal", "std": START}
                INITIALISERS[part.pop("name")](weight, derive(0, "small model", key), **part)

    def vectors(self, query: Query) -> Tensor:
        """(b, v) query vectors."""
        self.model.eval()
        unique, index = torch.unique(query.relation % self.num_base_relations, return_inverse=True)
        anchor = self.entities.index_select(0, query.anchor)
        return self.model.query(anchor, Relations(self.relations.index_select(0, unique), index), query.slot, 0)

    def scores(self, vectors: Tensor, ids: Tensor) -> Tensor:
        """(b, n) scores of ids (b, n), or of (1, n) that all share."""
        rows = self.entities.index_select(0, ids.reshape(-1))
        if len(ids) == 1:
            return self.model.compare(vectors, rows)
        return self.model.compare(vectors[:, None], rows.view(*ids.shape, -1)).squeeze(1)

    def distinct(self, query: Query) -> tuple[Query, Tensor]:
        """Each question once, without targets, and which of them every query (b,) is."""
        relation = query.relation % self.num_base_relations
        keys, which = torch.unique(query.anchor * self.num_base_relations + relation, return_inverse=True)
        anchor = torch.div(keys, self.num_base_relations, rounding_mode="floor")
        none = query.target[:0]
        asked = replace(query, anchor=anchor, relation=keys % self.num_base_relations)
        return replace(asked, target=none, row=none, weight=query.weight[:0]), which

    @staticmethod
    def bytes(name: str, dim: int, size: Size) -> int:
        """Bytes of its parameters and buffers."""
        with torch.device("meta"):  # its sizes, in no memory
            model = MODELS[name](dim)
        return bytes_of(model) + 4 * (size.entities * dim + size.relations * model.relation_width)


def check(name: str, dim: int) -> None:
    """Raises ValueError unless `name` is a score model that can be `dim` wide."""
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}; got {name!r}")
    with torch.device("meta"):
        model: ScoreModel = MODELS[name](dim)
    del model
