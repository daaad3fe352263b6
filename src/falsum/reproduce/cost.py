"""What an epoch of a recipe costs: from its begun run or the ledger of the same machine, else a count of operations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from falsum.graph.graph import BOTH_SIDES, Graph
from falsum.models.base import dot
from falsum.noise import All
from falsum.recipe.assemble import pick_device
from falsum.recipe.parts import build
from falsum.recipe.settings import Recipe
from falsum.reproduce.ledger import Entry
from falsum.run.machine import environment
from falsum.run.run import Run
from falsum.training.optimizers import Adam

# Seconds on one thread of a processor with fast bfloat16 (AMD EPYC, 2025); twice as long or half as long is likely.
PER_FUSED_SCORE = 5e-9
PER_SCORE = 6e-8
PER_PRODUCT = 6 / 3e11
PER_DISTANCE = 1e-9
PER_GATHERED = 3e-9
PER_GATHERED_MASK = 1.5e-8
PER_UPDATE = 5e-9


@dataclass(frozen=True)
class Cost:
    """Seconds of an epoch, and how they are known: "run", "ledger" or "estimate"."""

    seconds: float
    known: str


def pace(run: Run) -> Cost | None:
    """What an epoch of a begun run has cost so far, validations included; None before its first epoch or elsewhere.

    With the threads that the run was begun with, as it goes on with them. A lost environment.json tells of no machine.
    """
    history, file = run.history(), run.folder / "environment.json"
    if not history or not history[-1]["epoch"] or not file.exists():
        return None
    written, here = run.environment.model_dump(), environment()
    if any(written.get(key) != here[key] for key in ("processor", "device")):
        return None
    return Cost(history[-1]["seconds"] / history[-1]["epoch"], "run")


def cost(recipe: Recipe, recipe_sha256: str, graph: Graph, entries: Iterable[Entry]) -> Cost | None:
    """The cost of an epoch on this machine; None where nothing is known (a GPU that is not in the ledger)."""
    machine = environment()
    here = (recipe_sha256, machine["processor"], machine["threads"], machine["device"])
    for entry in entries:
        if (entry.recipe_sha256, entry.processor, entry.threads, entry.device) == here and entry.epochs:
            return Cost(entry.seconds / entry.epochs, "ledger")
    if pick_device(recipe.train.device).type != "cpu":
        return None
    return Cost(estimate(recipe, graph) / torch.get_num_threads(), "estimate")


def estimate(recipe: Recipe, graph: Graph) -> float:
    """Seconds of an epoch on one thread, validation left out: scores, relation matrices and dense updates."""
    objective, noise = build("objective", recipe.objective), build("noise", recipe.noise)
    with torch.device("meta"):
        model = build("model", recipe.model)
    triples, dim = graph.splits["train"], model.dim
    relations = graph.num_base_relations * (2 if recipe.train.inverses else 1)
    steps = max(1, len(triples) // recipe.train.batch_size)
    grouped = objective.rows == "grouped" or (objective.rows == "either" and noise.groups and recipe.train.grouped)
    rows = sum(len(graph.queries(triples, side, grouped=grouped)) for side in BOTH_SIDES)
    if noise.groups:
        per_score = PER_FUSED_SCORE if recipe.objective["name"] == "softmax" else PER_SCORE
        products = model.compare is dot
        scores = rows * graph.num_entities * (per_score + dim * (PER_PRODUCT if products else PER_DISTANCE))
    else:
        masked = model.compare is dot and recipe.dropout.entity > 0
        scores = len(triples) * _draws(recipe) * dim * (PER_GATHERED_MASK if masked else PER_GATHERED)
    own = sum(parameter.numel() for parameter in model.parameters())
    distinct = min(relations, 2 * recipe.train.batch_size)
    matrices = steps * distinct * own * PER_PRODUCT + (
        rows * dim * dim * PER_PRODUCT if model.relation_is_matrix else 0
    )
    optimizer = build("optimizer", recipe.optimizer)
    dense = isinstance(noise, All) or (isinstance(optimizer, Adam) and not optimizer.lazy)
    tables = graph.num_entities * dim + relations * model.relation_width if dense else 0
    return float(scores + matrices + steps * (tables + own) * PER_UPDATE)


def _draws(recipe: Recipe) -> int:
    """Negatives of a triple over both sides."""
    tails = int(recipe.noise.get("num", 1))
    heads = recipe.noise.get("num_head")
    return tails + (tails if heads is None else int(heads))
