"""The evaluations that a run folder keeps: ranks and rules, tied to the weights that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from falsum.errors import UserError
from falsum.evaluation.protocol import Evaluation
from falsum.files import checked, file_hash, read_json, read_parquet, write_json, write_parquet
from falsum.graph.graph import BOTH_SIDES, Graph
from falsum.recipe.settings import Recipe
from falsum.run.contents import COUNTS, RANKS, Card, Origin, Result
from falsum.run.fixed import changes, fixed
from falsum.run.folder import about_weights, check_ids, graph_facts


@dataclass(frozen=True, slots=True)
class Kept:
    """What a folder keeps of a split. result: None where there is nothing, or it is out of date for the reason
    `stale`.
    """

    result: Result | None = None
    stale: str = ""


def keep(folder: Path, evaluation: Evaluation, weights: str, settings: Mapping[str, Any]) -> None:
    """Write an evaluation under our own protocol on both sides; others are shown and not kept.

    ranks.parquet and protocol.json for the test split, ranks-valid.parquet and so on for others. weights: the content
    hash of the tensors that were ranked. settings: see `run.fixed`. Raises UserError when a file cannot be written.
    """
    if evaluation.card["name"] != "falsum" or evaluation.card["sides"] != [side.value for side in BOTH_SIDES]:
        return
    card = Card.model_validate(evaluation.card)
    ranks, rules = _paths(folder, card.split)
    write_parquet(ranks, evaluation.frame)
    origin = Origin(weights=weights, ranks=file_hash(ranks), fixed=dict(settings))
    write_json(rules, Result(protocol=card, metrics=evaluation.metrics(), origin=origin).model_dump(mode="json"))


def _paths(folder: Path, split: str) -> tuple[Path, Path]:
    name = "" if split == "test" else f"-{split}"
    return folder / f"ranks{name}.parquet", folder / f"protocol{name}.json"


def kept(folder: Path, recipe: Recipe, split: str = "test") -> Kept:
    """The evaluation of a split that a folder keeps, if it is about the weights, graph and recipe in it.

    Evaluations and weights without hashes, of folders that are older than these, count as belonging together.
    Raises UserError when a file is damaged, or the weights do not fit the recipe.
    """
    ranks, rules = _paths(folder, split)
    if not (ranks.exists() and rules.exists()):
        return Kept()
    remedy = _remedy(folder, split)
    result = checked(read_json(rules, remedy), Result, rules, remedy)
    origin, weights, graph = result.origin, about_weights(folder, recipe), graph_facts(folder)
    if weights is not None and weights.content != origin.weights:
        return Kept(stale="it is about other weights than model.safetensors holds now")
    if changed := changes({"graph": result.protocol.graph_sha256, **origin.fixed}, fixed(recipe, graph.sha256)):
        return Kept(stale="; ".join(changed))
    if origin.ranks and file_hash(ranks) != origin.ranks:
        return Kept(stale=f"{ranks.name} is not the one that {rules.name} was written with")
    return Kept(result)


def read_ranks(folder: Path, result: Result, graph: Graph) -> pl.DataFrame:
    """The rank frame of an evaluation that is kept: see `evaluation.ranks.Ranks`.

    Raises UserError when it is damaged: other columns, ids that the graph does not have, counts that cannot be.
    """
    card = result.protocol
    path, remedy = _paths(folder, card.split)[0], _remedy(folder, card.split)
    frame = read_parquet(path, RANKS, remedy)
    ids = {"head": graph.num_entities, "relation": graph.num_base_relations, "tail": graph.num_entities}
    check_ids(frame, ids, path, remedy)
    check_ids(frame, dict.fromkeys(COUNTS, graph.num_entities + 1), path, remedy)
    possible = (pl.col("greater") + pl.col("equal") < pl.col("candidates")) & pl.col("side").is_in(card.sides)
    if len(frame) != card.triples * len(card.sides) or not frame.select(possible.all()).item():
        raise UserError(
            f"{path} is damaged: it must hold {card.triples * len(card.sides)} ranks ({card.triples} triples, sides "
            f"{' and '.join(card.sides)}), each below its number of candidates, and holds {len(frame)}. {remedy}"
        )
    return frame


def _remedy(folder: Path, split: str) -> str:
    return f"Evaluate again: `falsum evaluate {folder}{'' if split == 'test' else f' --split {split}'}`."
