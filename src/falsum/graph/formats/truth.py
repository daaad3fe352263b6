"""A column that says which triples are true: known by its name and its values together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from falsum.errors import UserError
from falsum.graph.formats.bytes import excerpt
from falsum.graph.formats.columns import TRUTH, normal
from falsum.graph.formats.parsed import SPLITS, Options

# (true, false). A column that mixes two of them, as 1, 0 and -1, may mean something else.
VOCABULARIES = (("1", "0"), ("1", "-1"), ("true", "false"), ("yes", "no"))
LEGAL = ", ".join(f"{true}/{false}" for true, false in VOCABULARIES)


def truth_columns(names: Sequence[str], table: pl.DataFrame) -> list[int]:
    """The columns (from 0) whose name is one of TRUTH and whose values are all of one vocabulary."""
    return [i for i, name in enumerate(names) if normal(name) in TRUTH and truths(table.to_series(i)) is not None]


def truths(column: pl.Series) -> pl.Series | None:
    """The column as Boolean `true` if it has values, all of one vocabulary; else None."""
    words = spelled(column)
    values = set(words.unique())
    for true, false in VOCABULARIES:
        if values and values <= {true, false}:
            return (words == true).rename("true")
    return None


def read_truth(path: Path, name: str, column: pl.Series, lines: pl.Series) -> pl.Series:
    """A column as Boolean `true`. name: of the column, lines: where its values stand, for the message.

    Raises: UserError with the first value that does not fit the others.
    """
    found = truths(column)
    if found is not None:
        return found
    words = spelled(column)
    fits = [words.is_in(list(pair)).fill_null(False) for pair in VOCABULARIES]
    at = int((~max(fits, key=lambda each: int(each.sum()))).arg_true()[0])
    raise UserError(
        f"{path}:{lines[at]}: column {name} is to say which triples are true, but it holds {excerpt(str(column[at]))}. "
        f"Legal is one of {LEGAL} in the whole column. truth=False leaves it out."
    )


def spelled(column: pl.Series) -> pl.Series:
    """Text, whole numbers and Booleans in lower case; null for what is none of them."""
    if not (column.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean) or column.dtype.is_integer()):
        return pl.Series([None] * len(column), dtype=pl.String)
    return column.cast(pl.String).str.strip_chars().str.to_lowercase()


def truth_note(path: Path, name: str, frame: pl.DataFrame) -> str:
    """A sentence on what the column decided. frame: with the column true."""
    return f"{path.name}: column {name} says which triples are true; {int((~frame['true']).sum())} are stated false."


def check_truth(files: Mapping[str, Path], frames: Mapping[str, pl.DataFrame], options: Options) -> None:
    """Compare the files of parts with what was told, and with their names.

    Raises: UserError if no file has the column that was told, or a file of false triples calls one of them true.
    """
    told = "truth" if options.truth is None and "truth" in (options.columns or ()) else options.truth
    if told and not any("true" in frame.columns for frame in frames.values()):
        raise UserError(
            f"{files['train']}: no column is named {told!r}, which is to say which triples are true. Give a name of "
            'line 1; without such a line, columns=("head", "relation", "tail", "truth") in the order of the file.'
        )
    for part, frame in frames.items():
        true = frame.filter("true") if part not in SPLITS and "true" in frame.columns else frame.clear()
        if len(true):
            raise UserError(
                f"{files[part]}:{true['line'][0]}: by its name the file holds false triples, but this line says that "
                "its triple is true. Correct the line, or rename the file."
            )
