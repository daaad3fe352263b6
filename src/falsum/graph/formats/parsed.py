"""What readers take and give: the options of a read, and the triples of files as labels or as ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

import polars as pl
from torch import Tensor

from falsum.errors import UserError

Layout = Literal["text", "parquet", "jsonl", "rdf", "openke", "dict", "libkge"]
SPLITS = ("train", "valid", "test")
# A part is the facts or the false triples of a split. Files are written under these names.
FALSE = "_false"
PARTS = (*SPLITS, *(split + FALSE for split in SPLITS))


@dataclass(frozen=True, slots=True)
class Options:
    """How to read triples. None means "not told": detect, and refuse if there are two ways.

    columns: names, or role words (head, relation, tail, truth) in the order of the file. header: whether line 1 holds
    names. truth: the column that says which triples are true; False: nothing says so, neither a column nor a file.
    seed, valid, test: how a single file is split, and the shares that valid and test take at most. literals: what RDF
    literals become.
    """

    seed: int | None = None
    valid: float | None = None
    test: float | None = None
    columns: tuple[str, ...] | None = None
    separator: str | None = None
    header: bool | None = None
    truth: str | Literal[False] | None = None
    layout: Layout | None = None
    literals: Literal["drop", "keep"] | None = None

    def told(self) -> set[str]:
        """The names of the options that somebody set."""
        return {each.name for each in fields(self) if getattr(self, each.name) is not None}


TEXT = frozenset({"columns", "separator", "header", "truth"})
SPLITTING = frozenset({"seed", "valid", "test"})
# Which options the readers of each layout look at; those of SPLITTING are for single files.
USES: Mapping[Layout, frozenset[str]] = {
    "text": TEXT,
    "parquet": frozenset({"columns", "truth"}),
    "jsonl": frozenset({"columns", "truth"}),
    "rdf": frozenset({"literals"}),
    "openke": frozenset({"columns"}),
    "dict": TEXT,
    "libkge": frozenset({"columns"}),
}


def refuse_unused(where: str, layout: Layout, options: Options) -> None:
    """Raises: UserError for an option that was told and that the reader of the layout does not have."""
    ours = USES[layout] | SPLITTING | {"layout"} | ({"truth"} if options.truth is False else set())
    for name in sorted(options.told() - ours):
        having = ", ".join(each for each, used in USES.items() if name in used)
        raise UserError(
            f"{where}: {name}={getattr(options, name)!r} was told, but this is read as {layout}, which has no such "
            f"option. Layouts that have it: {having}. Leave it out, or say the layout (layout=...)."
        )


@dataclass(frozen=True, slots=True)
class Parsed:
    """The triples of one file: frame (head, relation, tail: String; line: where each one stands, from 1).

    Where the file says which triples are true, the frame has the column true (Boolean) too.
    """

    frame: pl.DataFrame
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Numbered:
    """Triples as ids by part (see PARTS), each (m, 3) int64, and the labels by id."""

    parts: Mapping[str, Tensor]
    entities: pl.Series
    relations: pl.Series
    source: str = ""
    notes: tuple[str, ...] = field(default=())


def by_part(frames: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Rows of files of parts, sorted into parts by what the files say of them: in the order of PARTS, none empty."""
    found: dict[str, list[pl.DataFrame]] = {part: [] for part in PARTS}
    for part, frame in frames.items():
        split = part.removesuffix(FALSE)
        rows = frame.drop("true", strict=False)
        if part != split or "true" not in frame.columns:
            found[part].append(rows)
        else:
            found[split].append(rows.filter(frame["true"]))
            found[split + FALSE].append(rows.filter(~frame["true"]))
    joined = {part: pl.concat(rows) for part, rows in found.items() if rows}
    return {part: rows for part, rows in joined.items() if len(rows)}
