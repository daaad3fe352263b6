"""Losses by name, the pairs that theory matches, and the recipe that all losses of a comparison share."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

from falsum.errors import UserError
from falsum.graph.graph import Graph
from falsum.models import MODELS
from falsum.recipe.parts import options
from falsum.recipe.settings import Recipe, read
from falsum.recipes import recipe as named_recipe
from falsum.recipes import takamoto2025

Parts = dict[str, Any]
Pair = tuple[str, str]

UNIFORM, EVERYTHING = {"name": "uniform"}, {"name": "all"}
# What Takamoto et al. 2025 print for DistMult: label of a mutated candidate, weight of the loss of unmutated ones.
PRINTED = takamoto2025.SETTINGS["fb15k-237", "distmult"].emu
SMOOTH = {"name": "unbounded-label-smoothing", "label": PRINTED.beta}
EMU = {"name": "emu", "take_positive": takamoto2025.take_positive(PRINTED.share)}


def _beside(objective: str) -> list[dict[str, Any]]:
    return [{"objective": {"name": objective}, "weight": PRINTED.alpha, "redraw": True}]


# The parts that a loss may set besides its further terms.
PART_FAMILIES = ("objective", "mutation", "noise", "weighting")

# What each loss sets of a recipe. An option that is not given here has its default, or follows the graph: see `parts`.
LOSSES: dict[str, Parts] = {
    "ns": {"objective": {"name": "negative-sampling"}, "noise": UNIFORM},
    "ns-freq": {"objective": {"name": "negative-sampling"}, "noise": {"name": "frequency", "exponent": 1.0}},
    "ns-all": {"objective": {"name": "negative-sampling"}, "noise": EVERYTHING},
    "sans": {"objective": {"name": "self-adversarial", "inverse_temperature": 1.0}, "noise": UNIFORM},
    "margin": {"objective": {"name": "margin"}, "noise": UNIFORM},
    "soft-margin": {"objective": {"name": "soft-margin"}, "noise": UNIFORM},
    "bce": {"objective": {"name": "bce"}, "noise": EVERYTHING},
    "sce": {"objective": {"name": "softmax"}, "noise": EVERYTHING},
    "sce-sampled": {"objective": {"name": "softmax"}, "noise": UNIFORM},
    "sce-ls": {"objective": {"name": "softmax", "label_smoothing": 0.1}, "noise": EVERYTHING},
    "sce-sampled-ls": {"objective": {"name": "softmax", "label_smoothing": 0.1}, "noise": UNIFORM},
    # Embedding mutation, what is mixed in its place, and its label smoothing alone
    "emu": {"objective": SMOOTH, "mutation": EMU, "terms": _beside("softmax"), "noise": UNIFORM},
    "emu-cutmix": {
        "objective": SMOOTH,
        "mutation": EMU | {"name": "cutmix"},
        "terms": _beside("softmax"),
        "noise": UNIFORM,
    },
    "emu-mixup": {"objective": SMOOTH, "mutation": {"name": "mixup"}, "terms": _beside("softmax"), "noise": UNIFORM},
    "emu-unmutated": {"objective": SMOOTH, "terms": _beside("softmax"), "noise": UNIFORM},
    # Where its paper says that it cannot go
    "emu-ns": {
        "objective": {"name": "soft-negatives"},
        "mutation": EMU,
        "terms": _beside("negative-sampling"),
        "noise": UNIFORM,
    },
    "emu-sans": {
        "objective": {"name": "soft-negatives", "inverse_temperature": 1.0},
        "mutation": EMU,
        "terms": _beside("self-adversarial"),
        "noise": UNIFORM,
    },
    "emu-margin": {
        "objective": {"name": "margin", "margin": 0.75},
        "mutation": EMU,
        "terms": _beside("margin"),
        "noise": UNIFORM,
    },
    "emu-all": {"objective": SMOOTH, "mutation": EMU, "terms": _beside("softmax"), "noise": EVERYTHING},
    # 1 / (1 + a): the partner of self-adversarial sampling with inverse temperature a = 1
    "sce-tempered": {"objective": {"name": "softmax", "temperature": 0.5}, "noise": EVERYTHING},
    "sce-bc": {
        "objective": {"name": "softmax"},
        "noise": EVERYTHING,
        "weighting": {"name": "backward-correction", "form": "exact"},
    },
}

# Pairs to compare within. matched-pairs: losses with the same optimum (Kamigaito & Hayashi 2021).
PRESETS: dict[str, tuple[Pair, ...]] = {
    "matched-pairs": (("ns", "sce"), ("sans", "sce-tempered"), ("ns-freq", "sce-bc")),
}

# What is compared where nobody says.
USUAL = ("ns", "sans", "sce", "sce-ls")

# Distances need a level at which a triple is as likely true as false; the RotatE code's for FB15k-237.
OFFSET = 9.0

# Settings that the comparison itself decides, and what says them instead.
DECIDED = {
    **dict.fromkeys((*PART_FAMILIES, *(f"{family}.name" for family in PART_FAMILIES), "terms"), "--losses"),
    **dict.fromkeys(("train.epochs", "train.seconds"), "--budget"),
    **dict.fromkeys(("validation.every", "validation.times", "validation.patience"), "--budget"),
    **dict.fromkeys(("model", "model.name"), "--model"),
    "name": "--losses",
    "train.seed": "--seeds",
    "validation.filter_test": "nothing (weights are never chosen by test answers)",
}


def chosen_pairs(losses: Iterable[str], preset: str | None) -> tuple[Pair, ...]:
    """The pairs to compare: those of the preset, else all pairs of the losses, else of the usual ones.

    Raises UserError on unknown names, both at once, or fewer than two losses.
    """
    losses = list(losses)
    if preset is not None:
        if preset not in PRESETS:
            raise UserError(f"There is no preset {preset!r}; legal: {', '.join(PRESETS)}.")
        if losses:
            raise UserError(f"The preset {preset!r} names its losses: give losses or a preset, not both.")
        return PRESETS[preset]
    losses = losses or list(USUAL)
    for loss in losses:
        if loss not in LOSSES:
            raise UserError(f"There is no loss {loss!r}; legal: {', '.join(LOSSES)}.")
    if len(losses) < 2 or len(set(losses)) < len(losses):
        raise UserError(f"A comparison needs two different losses or more; legal: {', '.join(LOSSES)}.")
    return tuple(combinations(losses, 2))


def base_recipe(graph: Graph, model: str, settings: Mapping[str, Any]) -> Recipe:
    """What all losses share: the sizes and the optimizer of the recipe `default`, and no penalty.

    A penalty of one weight would be strong beside one loss and weak beside another. settings: dotted keys, of which
    those of objective, mutation, noise and weighting are left to `loss_recipe`. Raises UserError when one is unknown.
    """
    like = named_recipe("default", graph)
    shared = {
        "model": {"name": model, "dim": like.model["dim"]},
        "optimizer": like.optimizer,
        "train": {"batch_size": like.train.batch_size, "inverses": like.train.inverses},
    }
    return read(shared).changed(**{key: value for key, value in settings.items() if not _of_loss(key)})


def loss_recipe(loss: str, base: Recipe, graph: Graph, settings: Mapping[str, Any]) -> Recipe:
    """The base with the parts of a loss. settings: dotted keys; those of a part change the losses that have them."""
    changes: dict[str, Any] = {**parts(loss, base.model["name"], graph), "name": loss}
    own = {key: value for key, value in settings.items() if _of_loss(key) and _has(LOSSES[loss], key)}
    return base.changed(**changes).changed(**own)


def check(settings: Mapping[str, Any], losses: Iterable[str]) -> None:
    """Raises UserError when the comparison decides a setting itself, or it is an option of none of the losses."""
    losses = list(losses)
    for key in settings:
        if key in DECIDED:
            raise UserError(f"The setting {key!r} is not free in a comparison: {DECIDED[key]} decides it.")
        if _of_loss(key) and not any(_has(LOSSES[loss], key) for loss in losses):
            raise UserError(f"The setting {key!r} belongs to none of the losses {', '.join(losses)}.")


def parts(loss: str, model: str, graph: Graph) -> Parts:
    """The parts of a loss on a graph: a quarter of the entities are drawn, at most 256; distances get an offset."""
    found: Parts = copy.deepcopy(LOSSES[loss])
    if _has(found, "noise.num"):
        found["noise"]["num"] = max(1, min(256, graph.num_entities // 4))
    if model in MODELS and not MODELS[model].compare.linear:
        for objective in (found["objective"], *(term["objective"] for term in found.get("terms", []))):
            if "offset" in options("objective", objective["name"]).model_fields:
                objective["offset"] = OFFSET
    return found


def _of_loss(key: str) -> bool:
    return key.split(".")[0] in PART_FAMILIES


def _has(found: Parts, key: str) -> bool:
    family, _, option = key.partition(".")
    return family in found and option in options(family, found[family]["name"]).model_fields
