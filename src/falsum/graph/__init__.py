"""Triples in: named graphs, folders and files become a Graph."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from falsum.errors import UserError
from falsum.graph.download import Progress, fetch
from falsum.graph.formats.bytes import name_and_suffix
from falsum.graph.formats.parsed import Layout, Options
from falsum.graph.formats.read import LEGAL, read_graph
from falsum.graph.formats.write import write_triples
from falsum.graph.graph import Answers, Graph, Pairs, Query, Side
from falsum.graph.inspect import Inspection, inspect
from falsum.graph.named import (
    GRAPHS,
    NamedGraph,
    cache_folder,
    check_counts,
    check_files,
    close_names,
    data_folder,
    find,
    known,
)

__all__ = [
    "GRAPHS",
    "Answers",
    "Graph",
    "Inspection",
    "NamedGraph",
    "Pairs",
    "Query",
    "Side",
    "inspect",
    "load",
    "write_triples",
]


def load(
    name_or_path: str | Path,
    *,
    seed: int | None = None,
    valid: float | None = None,
    test: float | None = None,
    columns: Sequence[str] | None = None,
    separator: str | None = None,
    header: bool | None = None,
    truth: str | Literal[False] | None = None,
    layout: Layout | None = None,
    literals: Literal["drop", "keep"] | None = None,
    progress: Progress | None = None,
) -> Graph:
    """The graph of a known name ("fb15k-237"), of a folder of train/valid/test files, or of one file.

    A known name wins over a path; write ./umls for a folder of that name. A pipe is read once, as a file. seed (0),
    valid and test (0.1 each) split a single file; columns, separator, header, truth, layout and literals settle what
    detection refuses to guess (see Options); progress is called with (file name, bytes so far, bytes in all or None)
    while a graph is fetched.

    Raises: UserError, which tells file and line and the way out; also for an option that the file has no use for.
    """
    told = tuple(columns) if columns is not None else None
    options = Options(seed, valid, test, told, separator, header, truth, layout, literals)
    named = known(name_or_path) if isinstance(name_or_path, str) and is_name(name_or_path) else None
    if named is not None:
        return load_named(named, name_or_path, options, progress)
    path = find_path(name_or_path)
    return read_graph(path, path_name(path), options)


def load_named(named: NamedGraph, asked: str | Path, options: Options, progress: Progress | None) -> Graph:
    folder = find(named) or fetch(named, cache_folder(), progress)
    graph = read_graph(folder, named.name, options)
    notes = (*check_files(named, folder), *check_counts(named, graph))
    if Path(asked).exists() and Path(asked).resolve() != folder.resolve():
        notes += (f"{asked!r} is also a path here; the known graph was read from {folder}. ./{asked} means the path.",)
    return replace(graph, notes=graph.notes + notes)


def is_name(text: str) -> bool:
    return "/" not in text and "\\" not in text


def find_path(name_or_path: str | Path) -> Path:
    """A path that exists, as it stands or inside FALSUM_DATA. Raises: UserError with the known names."""
    if not str(name_or_path).strip():
        raise UserError(f"The name or path of the graph is empty. {LEGAL}")
    path = Path(name_or_path)
    with suppress(RuntimeError):  # ~name of nobody is a path like another
        path = path.expanduser()
    inside = data_folder()
    try:
        if not path.exists() and inside is not None and (inside / path).exists():
            return inside / path
        if path.exists():
            return path
    except OSError as error:
        raise UserError(f"{path}: cannot be looked up ({error.strerror or error}). {LEGAL}") from None
    if not isinstance(name_or_path, str) or not is_name(name_or_path):
        raise UserError(f"{path}: there is no such file or folder. {LEGAL}")
    close = close_names(name_or_path)
    meant = f" Did you mean {' or '.join(close)}?" if close else ""
    raise UserError(
        f"{name_or_path}: there is no such file or folder, and no graph is known by that name.{meant} "
        f"Known: {', '.join(graph.name for graph in GRAPHS)}. {LEGAL}"
    )


def path_name(path: Path) -> str:
    """The name of a graph that has none: of its folder, or of its file without endings."""
    if path.is_fifo():
        return path.name
    full = path.resolve()
    return full.name if full.is_dir() else name_and_suffix(Path(full.name))[0]
