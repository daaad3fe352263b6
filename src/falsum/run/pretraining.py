"""Starting weights taken from another run, matched by label."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.files import checked, read_tensors, write_tensors
from falsum.graph.graph import Graph
from falsum.recipe.settings import Pretraining, read_file
from falsum.run import weights as tensors_of
from falsum.run.contents import FORMAT, Start
from falsum.run.folder import check_format, history, read_graph, read_weights
from falsum.training.job import Job


def take_start(folder: Path, rules: Pretraining, job: Job) -> None:
    """Replace the initial weights of a job by those in start.safetensors, which is made where it is not there yet.

    Raises UserError when the source cannot be used, or is a recipe that is not trained to its end.
    """
    path = folder / "start.safetensors"
    if not path.exists():
        inside = not isinstance(rules.source, str)
        source = folder / "pretraining" if inside else Path(str(rules.source))
        check_format(source)
        if inside and not any(line.done for line in history(source)):
            raise UserError(
                f"{folder} starts from {source}, which is not trained yet. Train both, in order, with "
                f"`falsum resume {folder}`."
            )
        write_start(folder, *start_of(rules, source, job))
    tensors, about = read_tensors(path)
    checked(about, Start, path)
    tensors_of.load(job.scoring, tensors, path)


def start_of(rules: Pretraining, source: Path, job: Job) -> tuple[dict[str, Tensor], Start]:
    """The weights that a job starts from, and where they came from."""
    check_format(source)
    recipe, graph = read_file(source / "recipe.toml"), read_graph(source)
    graph = graph.with_inverses() if recipe.train.inverses else graph
    fresh = job.scoring.tensors()
    start, taken = start_from(rules, graph, read_weights(source, recipe)[0], job.graph, fresh)
    return start, Start(format=FORMAT, source=str(source.resolve()), rows=taken)


def write_start(folder: Path, tensors: dict[str, Tensor], about: Start) -> None:
    write_tensors(folder / "start.safetensors", tensors, about.model_dump())


def start_from(
    rules: Pretraining, source: Graph, weights: Mapping[str, Tensor], graph: Graph, fresh: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """(weights to start from, how many rows they took over). Both graphs as trained on, inverse relations included.

    weights, fresh: tensors of the source and of the new run by name: "entities" (E, dim), "relations" (R, width),
    "model.*" and "buffers.*". Raises UserError when rows have other widths, the model has other parameters, or no
    entity has a label that the source knows.
    """
    start = {name: tensor.clone() for name, tensor in fresh.items()}
    taken = {}
    labels = {"entities": (source.entities, graph.entities), "relations": (source.relations, graph.relations)}
    for table, (theirs, ours) in labels.items():
        if table not in weights or table not in fresh:
            raise UserError(
                f"Pre-training copies rows of {table} by label, and a network such as nbfnet keeps none: take a model "
                "that keeps rows, such as complex, in both recipes."
            )
        if weights[table].shape[1] != fresh[table].shape[1]:
            raise UserError(
                f"Pre-trained {table} have rows of {weights[table].shape[1]} numbers, this recipe has rows of "
                f"{fresh[table].shape[1]}: give both recipes the same model and model.dim."
            )
        here, there = shared(ours, theirs)
        if table == "relations" and not rules.inverses:
            here, there = here[here < graph.num_base_relations], there[here < graph.num_base_relations]
        start[table][here] = weights[table][there]
        taken[table] = len(here)
    if not taken["entities"]:
        raise UserError(
            f"No entity of {graph.name!r} has a label that the pre-trained run on {source.name!r} knows, so there is "
            "nothing to start from."
        )
    if rules.parts == "all":
        start |= _own(weights, fresh)
    return start, taken


def shared(ours: pl.Series, theirs: pl.Series) -> tuple[Tensor, Tensor]:
    """(positions in ours, positions in theirs) of the labels that both have; (k,) int64 each, by our order."""
    one = pl.DataFrame({"label": ours, "here": range(len(ours))})
    other = pl.DataFrame({"label": theirs, "there": range(len(theirs))})
    both = one.join(other, on="label").sort("here")
    here, there = (torch.tensor(both[name].to_list(), dtype=torch.int64) for name in ("here", "there"))
    return here, there


def _own(weights: Mapping[str, Tensor], fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The score model's own parameters and buffers of the source."""
    names = [name for name in fresh if name not in ("entities", "relations")]
    for name in names:
        if name not in weights or weights[name].shape != fresh[name].shape:
            raise UserError(
                f"The pre-trained run has no {name} of shape {list(fresh[name].shape)}. Use the same model in both "
                'recipes, or pretraining.parts = "rows".'
            )
    return {name: weights[name].clone() for name in names}
