"""Folders that bring their own ids: OpenKE (`train2id.txt`), RotatE (`entities.dict`), LibKGE (`train.del`).

The ids of the files are kept, so that arrays made by those programs fit row by row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.graph.formats.bytes import excerpt, read_bytes, read_utf8
from falsum.graph.formats.columns import find_roles, single
from falsum.graph.formats.number import to_ids
from falsum.graph.formats.parsed import Numbered, Options, by_part
from falsum.graph.formats.text import ROLES, read_text, text_lines
from falsum.graph.formats.truth import check_truth

OPENKE_COLUMNS = ("head", "tail", "relation")
ID = "([0-9]{1,18})"  # \\d would take the digits of every script
# Ids without labels may have gaps, for a part of a graph keeps its ids. More than a million unused ones are an error.
GAPS = 1_000_000
DEL_COLUMNS = ("head", "relation", "tail")


def read_openke(folder: Path, files: Mapping[str, Path], options: Options) -> Numbered:
    """OpenKE: a count line, then ids `head tail relation`; entity2id.txt and relation2id.txt give the labels.

    Raises: UserError with file:line if counts or ids do not fit, or the columns look like head relation tail.
    """
    columns = options.columns or OPENKE_COLUMNS
    tables = {part: id_triples(path, columns, counted=True) for part, path in files.items()}
    entities = openke_labels(folder / "entity2id.txt")
    relations = openke_labels(folder / "relation2id.txt")
    if entities is not None and relations is not None and options.columns is None:
        refuse_other_order(files, tables, len(relations))
    order = " ".join(columns)
    source = f"OpenKE ids with count lines, columns {order}" + ("" if options.columns is None else " (as told)")
    return with_labels(files, tables, entities, relations, source, "entity2id.txt or relation2id.txt")


def read_libkge(folder: Path, files: Mapping[str, Path], options: Options) -> Numbered:
    """LibKGE: ids `head relation tail` in .del files; entity_ids.del and relation_ids.del give the labels."""
    columns = options.columns or DEL_COLUMNS
    tables = {part: id_triples(path, columns, counted=False) for part, path in files.items()}
    entities = keyed_labels(folder / "entity_ids.del")
    relations = keyed_labels(folder / "relation_ids.del")
    source = f"LibKGE ids (.del), columns {' '.join(columns)}"
    return with_labels(files, tables, entities, relations, source, "entity_ids.del or relation_ids.del")


def read_dicts(folder: Path, files: Mapping[str, Path], options: Options) -> Numbered:
    """RotatE: triples of labels, with entities.dict and relations.dict (`id TAB label`) that fix the ids.

    Raises: UserError with file:line if a label is not in its dict.
    """
    entities, relations = keyed_labels(folder / "entities.dict"), keyed_labels(folder / "relations.dict")
    if entities is None or relations is None:
        raise UserError(f"{folder}: entities.dict and relations.dict belong together; one of them is missing.")
    parsed = {part: read_text(path, read_bytes(path), options) for part, path in files.items()}
    check_truth(files, {part: one.frame for part, one in parsed.items()}, options)
    tables = {part: known_ids(files[part], one.frame, entities, relations) for part, one in parsed.items()}
    parts = {part: tensor(table) for part, table in by_part(tables).items()}
    source = f"entities.dict and relations.dict with ids; {next(iter(parsed.values())).source}"
    return Numbered(parts, entities, relations, source, tuple(n for one in parsed.values() for n in one.notes))


def known_ids(path: Path, frame: pl.DataFrame, entities: pl.Series, relations: pl.Series) -> pl.DataFrame:
    """A frame with its labels as ids. Raises: UserError with file:line if a label is not in the lists."""
    ids = to_ids(frame, entities, relations)
    wrong = (ids < 0).any(1).nonzero()
    if len(wrong):
        at = int(wrong[0])
        role = ROLES[int((ids[at] < 0).nonzero()[0])]
        raise UserError(
            f"{path}:{frame['line'][at]}: the {role} {excerpt(frame[role][at])} is not in "
            f'{"relations" if role == "relation" else "entities"}.dict. Add it there, or pass layout="text" to '
            "number the labels without the dict files."
        )
    return frame.with_columns(
        pl.Series(role, column.numpy()) for role, column in zip(ROLES, ids.unbind(1), strict=True)
    )


def id_triples(path: Path, columns: Sequence[str], *, counted: bool) -> pl.DataFrame:
    """head, relation, tail as Int64 and line, from lines of three ids parted by tabs or spaces."""
    roles = single(find_roles(columns))
    if len(columns) != 3 or roles is None:
        raise UserError(f"columns={tuple(columns)!r} must put head, relation and tail in an order.")
    lines = text_lines(read_utf8(path))
    body = lines.slice(1) if counted else lines
    parts = body["text"].str.extract_groups(rf"^\s*{ID}\s+{ID}\s+{ID}\s*$").struct.unnest()
    table = parts.select(
        *(pl.nth(at).cast(pl.Int64).alias(role) for at, role in zip(roles, ROLES, strict=True))
    ).with_columns(body["line"])
    wrong = table["head"].is_null().arg_true()
    if len(wrong):
        at = int(wrong[0])
        raise UserError(
            f"{path}:{body['line'][at]}: not three ids ({' '.join(columns)}): {excerpt(body['text'][at])}. "
            "Each line holds three whole numbers parted by a tab or a space."
        )
    if counted:
        check_count(path, lines, len(table))
    if len(table) == 0:
        raise UserError(f"{path}: the file is empty: it holds no triples.")
    return table


def check_count(path: Path, lines: pl.DataFrame, found: int) -> None:
    """Raises: UserError unless the first line is the number of the lines below it."""
    first = str(lines["text"][0]).strip()
    if not re.fullmatch(ID, first) or int(first) != found:
        raise UserError(
            f"{path}:{lines['line'][0]}: the count line says {excerpt(first)}, but {found} lines follow. OpenKE files "
            "begin with the number of their lines: correct it, or restore the lines that are missing."
        )


def openke_labels(path: Path) -> pl.Series | None:
    """Labels by id from a count line and lines `label id`; a label may hold spaces. None if there is no file."""
    if not path.is_file():
        return None
    lines = text_lines(read_utf8(path))
    body = lines.slice(1)
    check_count(path, lines, len(body))
    parts = body["text"].str.extract_groups(rf"^(.*\S)[\t ]+{ID}\s*$").struct.unnest()
    return in_order(path, body, parts[:, 0], parts[:, 1], "label TAB id")


def keyed_labels(path: Path) -> pl.Series | None:
    """Labels by id from lines `id TAB label`. None if there is no file."""
    if not path.is_file():
        return None
    lines = text_lines(read_utf8(path))
    parts = lines["text"].str.extract_groups(rf"^{ID}\t(.+)$").struct.unnest()
    return in_order(path, lines, parts[:, 1], parts[:, 0], "id TAB label")


def in_order(path: Path, lines: pl.DataFrame, labels: pl.Series, ids: pl.Series, form: str) -> pl.Series:
    """Labels sorted by id. Raises: UserError unless the ids are 0 .. n - 1, once each, and the labels distinct."""
    wrong = ids.is_null().arg_true()
    if len(wrong):
        at = int(wrong[0])
        text = excerpt(str(lines["text"][at]))
        raise UserError(f"{path}:{lines['line'][at]}: not of the form `{form}`: {text}. Correct the line.")
    table = pl.DataFrame({"label": labels, "id": ids.cast(pl.Int64), "line": lines["line"]})
    for column in ("id", "label"):
        again = table.filter(~pl.col(column).is_first_distinct())
        if len(again):
            raise UserError(f"{path}:{again['line'][0]}: the {column} {again[column][0]} occurs a second time.")
    beyond = table.filter(pl.col("id") >= len(table))
    if len(beyond):
        raise UserError(
            f"{path}:{beyond['line'][0]}: id {beyond['id'][0]}, but the file has {len(table)} lines: the ids must be "
            f"0 to {len(table) - 1} without gaps."
        )
    return table.sort("id")["label"]


def refuse_other_order(files: Mapping[str, Path], tables: Mapping[str, pl.DataFrame], num_relations: int) -> None:
    """Raises: UserError if the last column cannot be relations but the middle one can."""
    for part, table in tables.items():
        beyond = (table["relation"] >= num_relations).arg_true()
        if len(beyond) and (table["tail"] < num_relations).all():
            raise UserError(
                f"{files[part]}:{table['line'][int(beyond[0])]}: OpenKE files are read as head tail relation, but "
                f"here only the middle column fits the {num_relations} relations. Say the order: "
                'columns=("head", "relation", "tail").'
            )


def with_labels(
    files: Mapping[str, Path],
    tables: Mapping[str, pl.DataFrame],
    entities: pl.Series | None,
    relations: pl.Series | None,
    source: str,
    where: str,
) -> Numbered:
    """Ids with their labels; without a label file the labels are the ids. Raises: UserError for ids out of range."""
    notes = () if entities is not None and relations is not None else (f"No {where}: the ids are the labels.",)
    triples = sum(len(table) for table in tables.values())
    if entities is None:
        entities = numbers(files, tables, ("head", "tail"), 2 * triples + GAPS)
    if relations is None:
        relations = numbers(files, tables, ("relation",), triples + GAPS)
    sizes = {"head": len(entities), "relation": len(relations), "tail": len(entities)}
    for part, table in tables.items():
        for role, size in sizes.items():
            beyond = (table[role] >= size).arg_true()
            if len(beyond):
                at = int(beyond[0])
                raise UserError(
                    f"{files[part]}:{table['line'][at]}: {role} id {table[role][at]}, but there are only {size} "
                    "labels (ids from 0). Correct the id, or the order of the columns (columns=...)."
                )
    parts = {part: tensor(table) for part, table in by_part(tables).items()}
    return Numbered(parts, entities, relations, source, notes)


def numbers(
    files: Mapping[str, Path], tables: Mapping[str, pl.DataFrame], roles: Sequence[str], most: int
) -> pl.Series:
    """The ids up to the largest one in the columns `roles` as labels. Raises: UserError for `most` ids or more."""
    largest = 0
    for part, table in tables.items():
        for role in roles:
            at = int(table[role].arg_max() or 0)
            largest = max(largest, int(table[role][at]))
            if largest >= most:
                raise UserError(
                    f"{files[part]}:{table['line'][at]}: {role} id {largest}, which is far more than the triples can "
                    "hold. Without files of labels the ids count from 0: correct it, or give the labels."
                )
    return pl.int_range(largest + 1, eager=True).cast(pl.String).alias("label")


def tensor(table: pl.DataFrame) -> Tensor:
    return torch.from_numpy(table.select(ROLES).to_numpy(writable=True, order="c"))
