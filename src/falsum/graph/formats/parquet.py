"""Triples from Parquet: three named columns."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from falsum.errors import UserError
from falsum.graph.formats.bytes import read_bytes
from falsum.graph.formats.columns import ignored_note, pick
from falsum.graph.formats.parsed import Options, Parsed
from falsum.graph.formats.text import ROLES

READABLE = (pl.String, pl.Categorical, pl.Enum, pl.Boolean)


def read_parquet(path: Path, options: Options) -> Parsed:
    """The triples of a Parquet file; `line` counts rows from 1. Numbers become their decimal text.

    Raises: UserError if the file is not Parquet, its columns cannot be told apart, or a label is missing.
    """
    try:
        table = pl.read_parquet(io.BytesIO(read_bytes(path)))
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]}).") from None
    picked = pick(table.columns, str(path), options.columns, True)
    names = [table.columns[at] for at in picked.at]
    for name in names:
        kind = table.schema[name]
        if kind not in READABLE and not kind.is_integer():
            raise UserError(f"{path}: column {name} holds {kind}; labels must be text or whole numbers.")
    frame = table.select(pl.col(name).cast(pl.String).alias(role) for name, role in zip(names, ROLES, strict=True))
    if len(frame) == 0:
        raise UserError(f"{path}: the file is empty: it has columns but no rows.")
    for role in ROLES:
        missing = (frame[role].is_null() | (frame[role] == "")).arg_true()
        if len(missing):
            raise UserError(f"{path}: row {int(missing[0]) + 1}: the {role} is empty. Every triple needs three labels.")
    frame = frame.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line"))
    return Parsed(frame, f"{table.width}-column Parquet, {picked.said}", ignored_note(table.columns, picked))
