"""Triples from tables with named columns: Parquet, and JSON objects one a line."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import polars.selectors as cs

from falsum.errors import UserError
from falsum.graph.formats.bytes import utf8
from falsum.graph.formats.columns import ignored_note, pick
from falsum.graph.formats.parsed import Options, Parsed
from falsum.graph.formats.text import ROLES
from falsum.graph.formats.truth import read_truth, truth_columns, truth_note

READABLE = (pl.String, pl.Categorical, pl.Enum, pl.Boolean)
# polars panics instead of raising at some damaged files, with an exception that is no Exception.
BROKEN = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, RecursionError)


def read_parquet(path: Path, data: bytes, options: Options) -> Parsed:
    """The triples of a Parquet file; `line` counts rows from 1.

    Raises: UserError if the file is not Parquet, or as `from_table`.
    """
    try:
        # Lists and structs cannot be labels, and deep ones crash the process when their types reach Python.
        table = pl.scan_parquet(io.BytesIO(data)).select(~cs.nested()).collect()
    except BROKEN as error:
        raise UserError(f"{path}: not a readable Parquet file ({first_line(error)}).") from None
    return from_table(path, table, options, "Parquet")


def read_jsonl(path: Path, data: bytes, options: Options) -> Parsed:
    """The triples of a file of JSON objects, one a line; `line` counts objects from 1.

    Raises: UserError if a line is no object, or as `from_table`.
    """
    try:
        table = pl.read_ndjson(io.BytesIO(utf8(path, data)), infer_schema_length=None)
    except BROKEN as error:
        raise UserError(
            f"{path}: not readable as JSON lines ({first_line(error)}). Each line is one object, for instance "
            '{"head": "a", "relation": "r", "tail": "b"}.'
        ) from None
    return from_table(path, table, options, "JSON lines")


def first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def from_table(path: Path, table: pl.DataFrame, options: Options, kind: str) -> Parsed:
    """The triples of a table with named columns. Numbers become their decimal text.

    Raises: UserError if the columns cannot be told apart, or a label is missing or no label.
    """
    try:
        picked = pick(table.columns, str(path), options, truth_columns(table.columns, table))
    except UserError as error:
        raise UserError(f"{error} Columns of lists and structs are not read.") from None
    names = [table.columns[at] for at in picked.at]
    for name in names:
        dtype = table.schema[name]
        if dtype not in READABLE and not dtype.is_integer():
            raise UserError(f"{path}: column {name} holds {dtype}; labels must be text or whole numbers.")
    frame = table.select(pl.col(name).cast(pl.String).alias(role) for name, role in zip(names, ROLES, strict=True))
    if len(frame) == 0:
        raise UserError(f"{path}: the file is empty: it has columns but no rows.")
    for role in ROLES:
        missing = (frame[role].is_null() | (frame[role] == "")).arg_true()
        if len(missing):
            raise UserError(f"{path}: row {int(missing[0]) + 1}: the {role} is empty. Every triple needs three labels.")
        # What polars makes of half a surrogate pair in JSON.
        binary = frame[role].str.contains("\0", literal=True).arg_true()
        if len(binary):
            raise UserError(f"{path}: row {int(binary[0]) + 1}: the {role} holds NUL or a character that is none.")
    frame = frame.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line"))
    notes = ignored_note(table.columns, picked, options.truth is False)
    if picked.truth is not None:
        name = table.columns[picked.truth]
        frame = frame.with_columns(read_truth(path, name, table[name], frame["line"]))
        notes += (truth_note(path, name, frame),)
    return Parsed(frame, f"{table.width}-column {kind}, {picked.said}", notes)
