"""Trained runs as parts of another training: frozen models that weigh triples or choose candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.graph.graph import BOTH_SIDES, Graph, Query, Side
from falsum.noise import Live
from falsum.noise.base import each
from falsum.recipe.assemble import scoring_of
from falsum.recipe.settings import Recipe, read_file
from falsum.run import folder as files
from falsum.run import weights
from falsum.run.pretraining import shared
from falsum.scan.loss import live


def opener(graph: Graph) -> Callable[[str], Live]:
    """What opens run folders as frozen models of `graph`, each once: see `frozen`."""
    return cache(lambda source: frozen(Path(source), graph))


def sources(recipe: Recipe) -> Iterator[str]:
    """The run folders that the recipe's parts name by their setting `source`; those of `pretraining` not among them."""
    for part in (recipe.weighting, recipe.noise):
        yield from _sources(part)


def _sources(part: Mapping[str, Any]) -> Iterator[str]:
    for key, value in part.items():
        if key == "source" and isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from _sources(value)


def frozen(folder: Path, graph: Graph) -> Live:
    """The best weights of a run, asked about another graph: entities and relations are matched by label.

    Questions may be of the graph with or without inverse relations, whatever the run was trained with, and ids are
    those of `graph`. Scores are fp32, on the device of the question. Raises UserError when the folder is no trained
    run, or does not know every entity and relation of the graph: rows of zeros would be scores that mean nothing.
    """
    files.check_format(folder)
    recipe, source = read_file(folder / "recipe.toml"), files.read_graph(folder)
    source = source.with_inverses() if recipe.train.inverses else source
    entity = matched(folder, "entities", graph.entities, source.entities)
    base = slice(0, graph.num_base_relations), slice(0, source.num_base_relations)
    relation = matched(folder, "relations", graph.relations[base[0]], source.relations[base[1]])
    tensors, _ = files.read_weights(folder, recipe)
    scoring = scoring_of(recipe, source)
    weights.load(scoring, tensors, folder / "model.safetensors")
    scoring.model.eval()
    scoring = replace(scoring, dtype=torch.float32)
    asked, device = live(scoring, 0.0), scoring.device
    entity, relation = entity.to(device), relation.to(device)

    def score(query: Query, ids: range | Tensor) -> Tensor:
        drawn = torch.arange(len(ids), device=device)[None] if isinstance(ids, range) else ids
        own = each(drawn, len(query)).to(device)
        scores = torch.empty(own.shape, device=device)
        for rows, question in _translated(query, entity, relation, source):
            scores[rows] = asked.score(question, entity[own[rows]]).float()
        return scores.to(query.anchor.device)

    def rows(ids: Tensor) -> Tensor:
        return asked.rows(entity[ids.to(device)]).to(ids.device)

    def against(query: Query, rows: Tensor) -> Tensor:
        parts = [(own, asked.against(q, rows[own])) for own, q in _translated(query, entity, relation, source)]
        order = torch.cat([own for own, _ in parts]).argsort()
        return torch.cat([scores for _, scores in parts])[order]

    return Live(score, rows, against, 0.0)


def _translated(query: Query, entity: Tensor, relation: Tensor, source: Graph) -> Iterator[tuple[Tensor, Query]]:
    """The questions as the source is asked them, by their open slot: (which rows, the questions, targets unread)."""
    device, count = entity.device, len(relation)
    anchor, asked = entity[query.anchor.to(device)], query.relation.to(device)
    of_head = (asked >= count) | (query.side is Side.HEAD)  # head questions may come as tail questions of inverses
    for slot in BOTH_SIDES:
        rows = (of_head == (slot is Side.HEAD)).nonzero().flatten()
        if len(rows):
            own, side = source.ask(relation[asked[rows] % count], slot)
            alone = torch.arange(len(rows), device=device)
            yield rows, Query(anchor[rows], own, anchor[rows], alone, torch.ones(len(rows)), side, slot)


def matched(folder: Path, what: str, ours: pl.Series, theirs: pl.Series) -> Tensor:
    """(n,) int64: the id that each of our labels has in the source. Raises UserError where one is missing."""
    here, there = shared(ours, theirs)
    if len(here) < len(ours):
        missing = sorted(set(range(len(ours))) - set(here.tolist()))
        named = ", ".join(repr(ours[i]) for i in missing[:3])
        raise UserError(
            f"The run {folder} does not know {len(missing)} of the {len(ours)} {what} of the graph, such as {named}: "
            "train it on a graph that holds them all."
        )
    return there
