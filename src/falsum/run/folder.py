"""A run folder on disk: where each file lies, and how it is written and read. No pickle: opening one executes nothing.

recipe.toml, graph.json, triples.parquet, entities.parquet, relations.parquet and environment.json are written before
the first step, with start.safetensors or pretraining/ where the recipe starts from other weights; metrics.jsonl,
model.safetensors (the best weights) and checkpoint/ while training; ranks.parquet and protocol.json by evaluation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
from torch import Tensor

from falsum.errors import UserError
from falsum.files import (
    RESTORE,
    alone,
    checked,
    read_about,
    read_json,
    read_parquet,
    read_tensors,
    refuse_special,
    write_json,
    write_parquet,
    write_tensors,
    write_text,
)
from falsum.graph.frame import from_frame, to_frame
from falsum.graph.graph import Graph
from falsum.recipe.settings import Recipe
from falsum.run.contents import FORMAT, LABELS, TRIPLES, Environment, Format, GraphFacts, Line, Weights
from falsum.run.fixed import changes, fixed
from falsum.run.machine import environment
from falsum.training.loop import Record


def check_format(folder: Path) -> None:
    """Raises UserError when a folder is no run folder, or was written by a later falsum."""
    if not (folder / "recipe.toml").exists():
        raise UserError(f"{folder} is no run folder: it has no recipe.toml. `falsum train` makes one.")
    path = folder / "graph.json"
    written = checked(read_json(path), Format, path).format
    if written > FORMAT:
        raise UserError(
            f"{folder} was written by a later falsum (format {written}; this one knows {FORMAT}): update falsum."
        )


# ------------------------------------------------------------------------------------------------------------ the start


def create(folder: Path, graph: Graph, recipe: Recipe) -> None:
    """Write what is known before the first step; recipe.toml last, since it makes a folder a run."""
    write_environment(folder)
    for name, labels in (("entities", graph.entities), ("relations", graph.relations)):
        write_parquet(folder / f"{name}.parquet", pl.DataFrame({"id": range(len(labels)), "label": labels}))
    write_parquet(folder / "triples.parquet", to_frame(graph))
    facts = GraphFacts(
        format=FORMAT,
        name=graph.name,
        source=graph.source,
        notes=graph.notes,
        sha256=graph.sha256,
        num_base_relations=graph.num_base_relations,
    )
    write_json(folder / "graph.json", facts.model_dump())
    write_text(folder / "recipe.toml", recipe.to_toml())


def clear(folder: Path, source: str | None) -> None:
    """Make room for a new run: a run that ended before it wrote any weights gives way, anything else stays.

    source: the folder that the new run starts from, if any. Raises UserError when the folder holds weights or numbers
    of a run, or weights taken from another source, or is being trained in.
    """
    begun = (folder / "recipe.toml").exists()
    if _weights_in(folder) or not _starts_from(folder, source) or (begun and _numbers_in(folder)):
        if not begun:
            raise UserError(f"{folder} holds weights of a run without its recipe.toml. Choose another folder.")
        raise UserError(
            f"{folder} already holds a run. Continue it with `falsum resume {folder}`, or choose another folder."
        )
    for place in (folder, folder / "pretraining"):
        if (place / "recipe.toml").exists():
            with alone(place):
                (place / "recipe.toml").unlink()
                (place / "metrics.jsonl").unlink(missing_ok=True)


def _weights_in(folder: Path) -> bool:
    nested = folder / "pretraining"
    own = ("checkpoint/last.safetensors", "model.safetensors", "pretraining/start.safetensors")
    return any((folder / name).exists() for name in own) or (nested.exists() and _weights_in(nested))


def _numbers_in(folder: Path) -> bool:
    """Whether a folder holds figures of weights, which somebody may have deleted to save room."""
    evaluated = any(folder.glob("ranks*.parquet")) or any(folder.glob("protocol*.json"))
    return evaluated or any(line.best or line.done for line in history(folder))


def _starts_from(folder: Path, source: str | None) -> bool:
    """Whether the weights that a run was to start from, if any, will be taken from the same source again."""
    path = folder / "start.safetensors"
    return not path.exists() or (source is not None and read_about(path).get("source") == source)


# ------------------------------------------------------------------------------------------------------------ the graph


def graph_facts(folder: Path) -> GraphFacts:
    """Raises UserError when graph.json is damaged."""
    path = folder / "graph.json"
    return checked(read_json(path), GraphFacts, path)


def read_graph(folder: Path) -> Graph:
    """The graph as it was trained on. Raises UserError when it is not the same any more."""
    facts = graph_facts(folder)
    entities, relations = (_labels(folder / f"{name}.parquet") for name in ("entities", "relations"))
    path = folder / "triples.parquet"
    triples = read_parquet(path, TRIPLES, RESTORE, absent={"false": False})
    if not 0 <= facts.num_base_relations <= len(relations):
        raise UserError(
            f"{folder / 'graph.json'} is damaged: num_base_relations is {facts.num_base_relations}, and there are "
            f"{len(relations)} relations. {RESTORE}"
        )
    check_ids(triples, {"head": len(entities), "relation": facts.num_base_relations, "tail": len(entities)}, path)
    splits, false = from_frame(triples)
    notes = tuple(facts.notes)
    graph = Graph(facts.name, splits, entities, relations, facts.num_base_relations, facts.source, notes, false)
    if graph.sha256 != facts.sha256:
        raise UserError(
            f"The graph in {folder} is not the one that was trained on: triples.parquet, entities.parquet or "
            f"relations.parquet was changed. {RESTORE.replace('it', 'them', 1)}"
        )
    return graph


def _labels(path: Path) -> pl.Series:
    frame = read_parquet(path, LABELS, RESTORE)
    if not frame["id"].equals(pl.Series("id", range(len(frame)), dtype=pl.Int64)):
        raise UserError(f"{path} is damaged: column 'id' must count from 0 on. {RESTORE}")
    return frame["label"]


def check_ids(frame: pl.DataFrame, ends: dict[str, int], path: Path, remedy: str = RESTORE) -> None:
    """Raises UserError that names the column whose ids do not lie between 0 and its end."""
    for name, end in ends.items():
        column = frame[name]
        if len(column) and not column.is_between(0, end, closed="left").all():
            raise UserError(
                f"{path} is damaged: column {name!r} must lie between 0 and {end - 1}, and runs from {column.min()!r} "
                f"to {column.max()!r}. {remedy}"
            )


# ---------------------------------------------------------------------------------------------------------- the machine


def write_environment(folder: Path) -> None:
    """Write environment.json for this machine."""
    write_json(folder / "environment.json", Environment.model_validate(environment()).model_dump())


def read_environment(folder: Path) -> Environment:
    """What the run was begun on. Raises UserError when environment.json is lost or damaged."""
    path, remedy = folder / "environment.json", "Mend it; or delete it to go on with the threads of this machine."
    return checked(read_json(path, remedy), Environment, path, remedy)


# -------------------------------------------------------------------------------------------------------------- the log


def history(folder: Path) -> list[Line]:
    """The lines of metrics.jsonl, without a last one that a kill cut short.

    Raises UserError that names the line which cannot be read.
    """
    path = folder / "metrics.jsonl"
    refuse_special(path, RESTORE)
    try:
        texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    lines = []
    for number, text in enumerate(texts, 1):
        remedy = "Restore it from a copy, or delete this line and what follows it."
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            if number == len(texts):
                break
            raise UserError(f"{path}:{number} is damaged ({error}). {remedy}") from None
        lines.append(checked(value, Line, f"{path}:{number}", remedy))
    return lines


def append(folder: Path, record: Record) -> None:
    """Add a line to metrics.jsonl. Raises UserError when it cannot be written."""
    path = folder / "metrics.jsonl"
    line = {k: v for k, v in asdict(record).items() if not (v is False or v == "" or v == {})}  # but a loss of 0
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise UserError(f"{path} could not be written: {error.strerror}.") from None


def rewrite(folder: Path, lines: Iterable[Line]) -> None:
    """Leave these lines alone in metrics.jsonl."""
    texts = (json.dumps(line.model_dump(exclude_unset=True)) + "\n" for line in lines)
    write_text(folder / "metrics.jsonl", "".join(texts))


# ---------------------------------------------------------------------------------------------------------- the weights


def write_weights(folder: Path, tensors: dict[str, Tensor], recipe: Recipe, graph: Graph, record: Record) -> None:
    """Write model.safetensors. tensors: see `Scorer.tensors`."""
    about = Weights(format=FORMAT, epoch=record.epoch, metrics=record.metrics, fixed=fixed(recipe, graph.sha256))
    write_tensors(folder / "model.safetensors", tensors, about.model_dump(exclude={"content"}))


def read_weights(folder: Path, recipe: Recipe) -> tuple[dict[str, Tensor], Weights]:
    """The best weights and what they say about themselves.

    Raises UserError when they are not there, damaged, or were trained under another recipe or on another graph.
    """
    tensors, about = read_tensors(folder / "model.safetensors", _remedy(folder))
    return tensors, _own(folder, recipe, about)


def about_weights(folder: Path, recipe: Recipe) -> Weights | None:
    """What the best weights say about themselves, without reading them; None where there are none.

    Raises UserError as `read_weights`, save for damage that only shows in the numbers.
    """
    path = folder / "model.safetensors"
    return _own(folder, recipe, read_about(path, _remedy(folder))) if path.exists() else None


def _own(folder: Path, recipe: Recipe, about: dict[str, Any]) -> Weights:
    path = folder / "model.safetensors"
    weights = checked(about, Weights, path, _remedy(folder))
    if changed := changes(weights.fixed, fixed(recipe, graph_facts(folder).sha256)):
        raise UserError(
            f"{path} does not fit the recipe and graph beside it: {'; '.join(changed)}. If "
            f"{folder / 'recipe.toml'} was edited, change it back; or restore the weights of this run; or train into a "
            "new folder."
        )
    return weights


def _remedy(folder: Path) -> str:
    if not any(line.best or line.done for line in history(folder)):
        return f"The run was stopped before its first weights were written. Go on with `falsum resume {folder}`."
    return (
        f"Restore it from a copy; or delete {folder / 'checkpoint'} and train again, to the same bits, by "
        f"`falsum resume {folder}`."
    )
