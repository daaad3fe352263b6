"""The triples of a graph as one frame, and back: how a run folder keeps them."""

from __future__ import annotations

import polars as pl
import torch
from torch import Tensor

from falsum.graph.graph import Graph

TRIPLE = ["head", "relation", "tail"]


def to_frame(graph: Graph) -> pl.DataFrame:
    """Every triple: split (String), false (Boolean: stated false), head, relation, tail (Int64 ids)."""
    stated = ((False, graph.splits), (True, graph.false))
    frames = [
        pl.DataFrame(triples.numpy(), schema=dict.fromkeys(TRIPLE, pl.Int64)).select(
            pl.lit(split).alias("split"), pl.lit(false).alias("false"), *TRIPLE
        )
        for false, splits in stated
        for split, triples in splits.items()
    ]
    return pl.concat(frames)


def from_frame(frame: pl.DataFrame) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The `splits` and `false` of the graph; empty ones are left out. A frame without `false` holds facts alone.

    Raises: polars.exceptions.PolarsError if another column is missing.
    """
    if "false" not in frame.columns:
        frame = frame.with_columns(pl.lit(False).alias("false"))
    splits: dict[str, Tensor] = {}
    false: dict[str, Tensor] = {}
    for (stated, split), rows in frame.group_by("false", "split", maintain_order=True):
        triples = torch.from_numpy(rows.select(TRIPLE).to_numpy(writable=True)).contiguous()
        (false if stated else splits)[str(split)] = triples
    return splits, false
