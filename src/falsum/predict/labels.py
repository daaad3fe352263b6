"""Labels to ids, and helpful errors about labels that a graph does not have."""

from __future__ import annotations

import difflib
from typing import Literal

import polars as pl
import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.graph.graph import Graph

Kind = Literal["entity", "relation"]

# Labels that are compared letter by letter; those that share most pieces with the wanted one.
SHORT_LIST = 500
MOST_PIECES = 12


def labels_of(graph: Graph, kind: Kind) -> pl.Series:
    """The labels that a question may name: entities, or the relations of the triples (no inverse relations)."""
    return graph.entities if kind == "entity" else graph.relations[: graph.num_base_relations]


def find(graph: Graph, kind: Kind, label: object) -> int:
    """The id of a label. Raises UserError with the closest labels when there is none."""
    labels = labels_of(graph, kind)
    at = labels.index_of(label) if isinstance(label, str) else None
    if at is None:
        raise unknown(graph, kind, label)
    return at


def find_all(graph: Graph, kind: Kind, wanted: pl.Series) -> Tensor:
    """(m,) int64 ids of m labels. Raises UserError that names the first label that there is not, and its place."""
    labels = labels_of(graph, kind)
    known = pl.DataFrame({"label": labels, "id": pl.arange(len(labels), eager=True, dtype=pl.Int64)})
    ids = wanted.rename("label").to_frame().join(known, on="label", how="left", maintain_order="left")["id"]
    missing = ids.is_null().arg_true()
    if len(missing):
        place = int(missing[0])
        raise unknown(graph, kind, wanted[place], where=f" (triple {place + 1} of {len(wanted)})")
    return torch.from_numpy(ids.to_numpy(writable=True))


def unknown(graph: Graph, kind: Kind, label: object, where: str = "") -> UserError:
    """The error for a label that is no `kind` of the graph: what it is instead, or which labels are close."""
    other: Kind = "relation" if kind == "entity" else "entity"
    start = f"{label!r}{where} is no {kind} of graph {graph.name!r}"
    if not isinstance(label, str):
        return UserError(f"{start}: labels are text, got {type(label).__name__}.")
    if (labels_of(graph, other) == label).any():
        return UserError(f"{start}: it is {'an' if other == 'entity' else 'a'} {other}. Were two arguments exchanged?")
    close = closest(labels_of(graph, kind), label)
    if close:
        return UserError(f"{start}. The closest: {', '.join(repr(name) for name in close)}.")
    column = "entities" if kind == "entity" else "relations"
    return UserError(f"{start}, and no label is close to it. All labels are in graph.{column}.")


def closest(labels: pl.Series, wanted: str, count: int = 3) -> list[str]:
    """Up to `count` labels most like `wanted`, best first; letter case is ignored.

    Only labels that share most of a few pieces (two or three letters) with it are compared in full, so that a
    million labels take about a second.
    """
    text = wanted.casefold()
    size = 3 if len(text) >= 8 else min(2, len(text))
    pieces = sorted({text[i : i + size] for i in range(len(text) - size + 1)}) if size else []
    pieces = pieces[:: max(1, -(-len(pieces) // MOST_PIECES))]
    if not pieces or len(labels) == 0:
        return []
    lower = pl.col("label").str.to_lowercase()
    shared = pl.sum_horizontal(lower.str.contains(piece, literal=True).cast(pl.Int32) for piece in pieces)
    distance = (pl.col("label").str.len_chars().cast(pl.Int32) - len(wanted)).abs()
    ranked = (
        labels.rename("label")
        .to_frame()
        .with_columns(shared=shared, distance=distance)
        .filter(pl.col("shared") > 0)
        .sort(["shared", "distance"], descending=[True, False], maintain_order=True)
    )
    original: dict[str, str] = {}
    for label in ranked["label"].head(SHORT_LIST):
        original.setdefault(label.casefold(), label)
    return [original[name] for name in difflib.get_close_matches(text, list(original), n=count)]
