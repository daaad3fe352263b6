"""The pace of a recipe: from its begun run or the ledger of the same machine, else from a count of operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from falsum.graph.graph import BOTH_SIDES, Graph
from falsum.recipe.assemble import pick_device, terms_of
from falsum.recipe.parts import build
from falsum.recipe.rules import row_wise, share_rows
from falsum.recipe.settings import Recipe
from falsum.reproduce.ledger import Entry
from falsum.run.machine import environment
from falsum.run.run import Run

# Seconds on one thread of a processor with fast bfloat16 (AMD EPYC, 2025); twice as long or half as long is likely.
PER_FUSED_SCORE = 5e-9
PER_SCORE = 6e-8
PER_PRODUCT = 6 / 3e11
PER_DISTANCE = 1e-9
PER_GATHERED = 3e-9
PER_GATHERED_MASK = 1.5e-8
PER_UPDATE = 5e-9


@dataclass(frozen=True)
class Pace:
    """Seconds of an epoch, and how they are known: "run", "ledger" or "estimate"."""

    seconds: float
    known: str


def pace(run: Run) -> Pace | None:
    """The pace of a begun run so far, validations included; None before its first epoch or elsewhere.

    With the threads that the run was begun with, as it goes on with them. A lost environment.json tells of no machine.
    """
    history, file = run.history(), run.folder / "environment.json"
    if not history or not history[-1]["epoch"] or not file.exists():
        return None
    written, here = run.environment.model_dump(), environment()
    if any(written.get(key) != here[key] for key in ("processor", "device")):
        return None
    return Pace(history[-1]["seconds"] / history[-1]["epoch"], "run")


def likely_pace(recipe: Recipe, recipe_sha256: str, graph: Graph, entries: Iterable[Entry]) -> Pace | None:
    """The pace of a recipe on this machine; None where nothing is known (a GPU that is not in the ledger)."""
    machine = environment()
    here = (recipe_sha256, machine["processor"], machine["threads"], machine["device"])
    for entry in entries:
        if (entry.recipe_sha256, entry.processor, entry.threads, entry.device) == here and entry.epochs:
            return Pace(entry.seconds / entry.epochs, "ledger")
    if pick_device(recipe.train.device).type != "cpu":
        return None
    return Pace(estimate(recipe, graph) / torch.get_num_threads(), "estimate")


def estimate(recipe: Recipe, graph: Graph) -> float:
    """Seconds of an epoch on one thread, validation left out: scores, relation matrices and dense updates."""
    noise = build("noise", recipe.noise)
    with torch.device("meta"):
        model = build("model", recipe.model)
    triples, dim = graph.splits["train"], model.dim
    relations = graph.num_base_relations * (2 if recipe.train.inverses else 1)
    steps = max(1, len(triples) // recipe.train.batch_size)
    grouped = share_rows(terms_of(recipe), noise, wanted=recipe.train.grouped)
    queries = [graph.queries(triples, side, grouped=grouped) for side in BOTH_SIDES]
    rows, products = sum(len(query) for query in queries), model.compare.products
    if noise.everyone:
        per_score = PER_FUSED_SCORE if recipe.objective["name"] == "softmax" else PER_SCORE
        scores = rows * graph.num_entities * (per_score + dim * (PER_PRODUCT if products else PER_DISTANCE))
    else:
        sampler, masked = noise.bind(graph, torch.device("cpu")), products and recipe.dropout.entity > 0
        draws = sum(len(query) * sampler.num(query) for query in queries)
        scores = draws * dim * (PER_GATHERED_MASK if masked else PER_GATHERED)
    own = sum(parameter.numel() for parameter in model.parameters())
    distinct = min(relations, 2 * recipe.train.batch_size)
    matrices = steps * distinct * own * PER_PRODUCT + (
        rows * dim * dim * PER_PRODUCT if model.relation_is_matrix else 0
    )
    penalties = [build("penalty", part) for part in recipe.penalty]
    by_row = row_wise(build("optimizer", recipe.optimizer), noise, penalties)
    tables = 0 if by_row else graph.num_entities * dim + relations * model.relation_width
    return float(scores + matrices + steps * (tables + own) * PER_UPDATE)
