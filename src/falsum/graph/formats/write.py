"""A graph as files that `load` reads back to the same graph."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import polars as pl
import torch

from falsum.errors import UserError
from falsum.graph.formats.bytes import excerpt
from falsum.graph.formats.columns import find_roles
from falsum.graph.graph import Graph

NOT_IN_TSV = r"[\t\n\r\x00]"


def write_triples(graph: Graph, folder: str | Path, *, kind: Literal["tsv", "parquet"] = "tsv") -> tuple[Path, ...]:
    """Write train, valid and test to `folder` as labels; each file appears whole or not at all.

    TSV has no header, except where the first line would be taken for one. Returns the paths.
    Raises: UserError if TSV cannot hold a label (tab, line end, NUL), or the folder cannot be written.
    """
    folder = Path(folder)
    if kind == "tsv":
        refuse_unwritable(graph)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(write_one(label_frame(graph, split), folder / f"{split}.{kind}", kind) for split in graph.splits)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}). Check the path.") from None


def label_frame(graph: Graph, split: str) -> pl.DataFrame:
    """The triples of a split as labels: columns head, relation, tail (String)."""
    head, relation, tail = (pl.Series(column.numpy()) for column in graph.splits[split].unbind(1))
    return pl.DataFrame(
        {"head": graph.entities[head], "relation": graph.relations[relation], "tail": graph.entities[tail]}
    )


def write_one(frame: pl.DataFrame, path: Path, kind: str) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if kind == "parquet":
            frame.write_parquet(temporary)
        else:
            first = frame.row(0) if len(frame) else ("", "", "")
            doubtful = sum(map(bool, find_roles(first))) >= 2 or first[0].startswith("\ufeff")
            # polars would quote even with quote_style="never" in some versions; a join of strings cannot.
            lines = frame.select(pl.concat_str("head", "relation", "tail", separator="\t"))["head"]
            text = "\n".join((["head\trelation\ttail"] if doubtful else []) + lines.to_list()) + "\n"
            temporary.write_bytes(text.encode("utf-8"))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def refuse_unwritable(graph: Graph) -> None:
    used = torch.unique(torch.cat([triples[:, [0, 2]].flatten() for triples in graph.splits.values()]))
    for labels in (graph.entities[pl.Series(used.numpy())], graph.relations):
        wrong = labels.filter(labels.str.contains(NOT_IN_TSV))
        if len(wrong):
            raise UserError(
                f"The label {excerpt(wrong[0])} holds a tab, a line end or NUL, which TSV cannot hold. "
                'Write Parquet: kind="parquet".'
            )
