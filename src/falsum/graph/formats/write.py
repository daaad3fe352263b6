"""A graph as files that `load` reads back to the same graph."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl
import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.files import whole
from falsum.graph.formats.bytes import excerpt
from falsum.graph.formats.columns import find_roles
from falsum.graph.formats.parsed import FALSE
from falsum.graph.graph import Graph

NOT_IN_TSV = r"[\t\n\r\x00]"


def write_triples(graph: Graph, folder: str | Path, *, kind: Literal["tsv", "parquet"] = "tsv") -> tuple[Path, ...]:
    """Write the facts (train, valid, test) and the false triples (train_false, ...) to `folder` as labels.

    Each file appears whole or not at all. TSV has no header, except where the first line would be taken for one.
    Returns the paths. Raises: UserError if TSV cannot hold a label (tab, line end, NUL), or a file cannot be written.
    """
    folder = Path(folder)
    parts = {**graph.splits, **{split + FALSE: triples for split, triples in graph.false.items()}}
    if "\0" in str(folder):
        raise UserError(f"{str(folder)!r}: a path cannot hold NUL.")
    if kind == "tsv":
        refuse_unwritable(graph, list(parts.values()))
    return tuple(
        write_one(label_frame(graph, triples), folder / f"{part}.{kind}", kind) for part, triples in parts.items()
    )


def label_frame(graph: Graph, triples: Tensor) -> pl.DataFrame:
    """Triples (m, 3) as labels: columns head, relation, tail (String)."""
    head, relation, tail = (pl.Series(column.numpy()) for column in triples.unbind(1))
    return pl.DataFrame(
        {"head": graph.entities[head], "relation": graph.relations[relation], "tail": graph.entities[tail]}
    )


def write_one(frame: pl.DataFrame, path: Path, kind: str) -> Path:
    with whole(path) as temporary:
        if kind == "parquet":
            frame.write_parquet(temporary)
        else:
            temporary.write_bytes(tsv(frame).encode("utf-8"))
    return path


def tsv(frame: pl.DataFrame) -> str:
    """Lines of labels parted by tabs, under a header where the first line would be taken for one."""
    first = frame.row(0) if len(frame) else ("", "", "")
    doubtful = sum(map(bool, find_roles(first))) >= 2 or first[0].startswith("\ufeff")
    # polars would quote even with quote_style="never" in some versions; a join of strings cannot.
    lines = frame.select(pl.concat_str("head", "relation", "tail", separator="\t"))["head"]
    return "\n".join((["head\trelation\ttail"] if doubtful else []) + lines.to_list()) + "\n"


def refuse_unwritable(graph: Graph, parts: list[Tensor]) -> None:
    used = torch.unique(torch.cat([triples[:, [0, 2]].flatten() for triples in parts]))
    for labels in (graph.entities[pl.Series(used.numpy())], graph.relations):
        wrong = labels.filter(labels.str.contains(NOT_IN_TSV))
        if len(wrong):
            raise UserError(
                f"The label {excerpt(wrong[0])} holds a tab, a line end or NUL, which TSV cannot hold. "
                'Write Parquet: kind="parquet".'
            )
