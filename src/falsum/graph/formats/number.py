"""Labels to ids: entities and relations numbered in the order in which they appear."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import torch
from torch import Tensor

from falsum.graph.formats.parsed import Numbered


def number(frames: Mapping[str, pl.DataFrame]) -> Numbered:
    """Ids by first appearance over the parts in their order, row by row, head before tail."""
    triples = pl.concat([frame.select("head", "relation", "tail") for frame in frames.values()])
    ends = triples.select(pl.concat_list("head", "tail").explode(empty_as_null=False).alias("label"))["label"]
    entities = ends.unique(maintain_order=True)
    relations = triples["relation"].unique(maintain_order=True).rename("label")
    parts = {part: to_ids(frame, entities, relations) for part, frame in frames.items()}
    return Numbered(parts, entities, relations)


def to_ids(frame: pl.DataFrame, entities: pl.Series, relations: pl.Series) -> Tensor:
    """The triples of a frame of labels as (m, 3) int64; -1 for a label that is not in the lists."""
    columns = [
        look_up(frame[name], labels)
        for name, labels in (("head", entities), ("relation", relations), ("tail", entities))
    ]
    return torch.stack([torch.from_numpy(column.to_numpy(writable=True)) for column in columns], 1)


def look_up(wanted: pl.Series, labels: pl.Series) -> pl.Series:
    """The position of each label in `labels` (distinct), int64, -1 if it is not there."""
    index = pl.DataFrame({"label": labels, "id": pl.int_range(len(labels), dtype=pl.Int64, eager=True)})
    found = wanted.to_frame("label").join(index, on="label", how="left", maintain_order="left")
    return found["id"].fill_null(-1)
