"""What readers take and give: the options of a read, and the triples of one file as labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl
from torch import Tensor

Layout = Literal["text", "parquet", "rdf", "openke", "dict", "libkge"]
LAYOUTS: tuple[Layout, ...] = ("text", "parquet", "rdf", "openke", "dict", "libkge")


@dataclass(frozen=True, slots=True)
class Options:
    """How to read triples. None means "detect, and refuse if there are two ways".

    columns: names, or role words (head, relation, tail) in the order of the file. header: whether line 1 holds names.
    valid, test: shares of a single file that its seeded split takes at most. literals: what RDF literals become.
    """

    seed: int = 0
    valid: float = 0.1
    test: float = 0.1
    columns: tuple[str, ...] | None = None
    separator: str | None = None
    header: bool | None = None
    layout: Layout | None = None
    literals: Literal["drop", "keep"] = "drop"


@dataclass(frozen=True, slots=True)
class Parsed:
    """The triples of one file: frame (head, relation, tail: String; line: where each one stands, from 1)."""

    frame: pl.DataFrame
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Numbered:
    """Triples as ids by split, each (m, 3) int64, and the labels by id."""

    splits: Mapping[str, Tensor]
    entities: pl.Series
    relations: pl.Series
    source: str = ""
    notes: tuple[str, ...] = field(default=())
