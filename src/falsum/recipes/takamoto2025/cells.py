"""From the published numbers to recipes, and the names of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from falsum.recipe.settings import Recipe, read
from falsum.recipes.takamoto2025.settings import (
    FB,
    GRAPHS,
    MODELS,
    NSCACHING,
    SCRIPT,
    SETTINGS,
    TABLE_12,
    TRIPLES,
    YAGO,
    Emu,
    Reading,
    Settings,
    take_positive,
)

PLAIN = ("uni", "san", "nscaching")
TABLE_8 = ("uni", "uni-emu", "san", "san-emu")
TABLE_13 = ("uni-emu", "mutation-only", "smoothing-only", "uni")
# Eq. 20 with 0.2 over 1 + n classes, as one label for each of n = 256 rivals.
VANILLA = (0.2 / 257) / (1 - 0.2 + 0.2 / 257)
# Table 1 and Figure 5: dimensions and negatives that are not those of the other tables.
FIGURE_5 = {f"n-{num}": (100, num) for num in (16, 64, 1024)}
SIZES = {"d-200-n-64": (200, 64), "d-1000-n-64": (1000, 64), "d-200": (200, 256), "d-1000": (1000, 256), **FIGURE_5}


@dataclass(frozen=True)
class Combination:
    """What a cell is about: graph, model, method, and what it changes of the method ("" as the paper has it)."""

    graph: str
    model: str
    method: str
    variant: str = ""

    @property
    def name(self) -> str:
        return "/".join(
            ["takamoto2025", self.graph, self.model, self.method, *([self.variant] if self.variant else [])]
        )

    @property
    def mutated(self) -> bool:
        """Whether it has a second loss, of mutated or smoothed candidates; then the paper has no penalty."""
        return self.method not in PLAIN

    @property
    def settings(self) -> Settings:
        found = NSCACHING[self.model] if self.method.startswith("nscaching") else SETTINGS[self.graph, self.model]
        if self.method == "uni-mixup":
            found = replace(found, emu=Emu(SCRIPT.alpha, found.emu.share, SCRIPT.beta))
        emu = (TABLE_12 | {"script": SCRIPT}).get(self.variant, found.emu)
        dim, negatives = SIZES.get(self.variant, (found.dim, found.negatives))
        stages = found.stages and self.variant != "adam"
        return replace(found, emu=emu, stages=stages, dim=dim, negatives=negatives)


CELLS = {
    cell.name: cell
    for cell in (
        *(Combination(g, m, method) for g in GRAPHS for m in MODELS for method in (*TABLE_8, "uni-mixup")),
        *(Combination(FB, m, method) for m in MODELS for method in ("mutation-only", "smoothing-only")),
        *(Combination(FB, m, "vanilla-smoothing") for m in MODELS),
        *(Combination(FB, m, "uni", "no-l3") for m in MODELS),
        *(Combination(FB, m, method, "l3") for m in MODELS for method in TABLE_13[:3]),
        *(Combination(FB, "distmult", "uni-emu", variant) for variant in ("equation-6", "script", "adam")),
        *(Combination(FB, "distmult", "uni-emu", variant) for variant in TABLE_12),
        *(Combination(FB, "distmult", "uni", size) for size in ("d-200-n-64", "d-1000-n-64")),
        Combination(FB, "distmult", "uni-emu", "d-200-n-64"),
        *(Combination(FB, "distmult", method, size) for method in ("uni", "uni-emu") for size in FIGURE_5),
        Combination(YAGO, "distmult", "uni", "d-1000"),
        *(Combination(g, "hake", method) for g in GRAPHS for method in ("uni", "uni-emu")),
        *(Combination(FB, "hake", method, "d-200") for method in ("uni", "uni-emu")),
        Combination(YAGO, "hake", "uni", "d-1000"),
        *(Combination(FB, m, method) for m in NSCACHING for method in ("nscaching", "nscaching-emu")),
    )
}
# The seven that decide how the paper is to be read, on DistMult.
DECIDING = tuple(
    Combination(FB, "distmult", *rest).name
    for rest in (
        ("uni",),
        ("uni", "no-l3"),
        ("smoothing-only",),
        ("uni-emu",),
        ("uni-emu", "equation-6"),
        ("uni-emu", "script"),
        ("uni-emu", "adam"),
    )
)


def recipe(name: str) -> Recipe:
    """The recipe of one cell, e.g. "takamoto2025/fb15k-237/distmult/uni-emu"."""
    return read(_values(CELLS[name]))


def _values(cell: Combination) -> dict[str, Any]:
    settings = cell.settings
    bound = (settings.margin + 2) / settings.dim
    rows = {"name": "uniform", "low": -bound, "high": bound}
    penalised = settings.l3 and (cell.variant == "l3" or (not cell.mutated and cell.variant != "no-l3"))
    # Two sides, so twice the weight; the penalty itself divides by 3.
    weight = 6 * settings.l3
    penalty = [{"name": "table-lp", "p": 3.0, "entity": weight, "relation": weight}] if penalised else []
    epochs = settings.steps * settings.triples / TRIPLES[cell.graph]
    whole: dict[str, Any] = {
        "name": cell.name,
        "model": {"name": cell.model, "dim": settings.dim * settings.reals, **settings.options},
        "noise": _noise(cell, settings.negatives),
        **_loss(cell),
        "penalty": penalty,
        "init": {"entity": rows} if cell.model == "rotate" else {"entity": rows, "relation": rows},
        "validation": {"every": 5, "patience": 0},
    }
    if cell.model == "hake":
        whole["model"]["bound"] = bound
    if settings.falls:
        whole["schedule"] = {"name": "step", "every": math.ceil(epochs / 2), "decay": 0.1}
    if not settings.stages:
        return whole | _stage("adam", settings.lr, epochs, settings)
    first = whole | _stage("adagrad", settings.lr, epochs / 2, settings)
    return whole | _stage("adam", settings.lr / 10, epochs / 2, settings) | {"pretraining": {"source": first}}


def _stage(optimizer: str, lr: float, epochs: float, settings: Settings) -> dict[str, Any]:
    train = {"epochs": math.ceil(epochs), "batch_size": settings.triples, "grouped": False}
    return {"optimizer": {"name": optimizer, "lr": lr}, "train": train}


def _noise(cell: Combination, num: int) -> dict[str, Any]:
    """Uniform draws may be true; structure-aware ones are filtered, and come from the walk that never restarts."""
    if cell.method.startswith("nscaching"):
        return {"name": "nscaching", "num": num, "cache": num, "fresh": num}
    if cell.method.startswith("san"):
        return {"name": "random-walk", "hops": 3, "restart": False, "num": num, "filtered": True}
    return {"name": "uniform", "num": num, "filtered": False}


def _loss(cell: Combination) -> dict[str, Any]:
    plain = {"name": "softmax"}
    if not cell.mutated:
        return {"objective": plain}
    emu = cell.settings.emu
    label = {"mutation-only": 0.0, "vanilla-smoothing": VANILLA}.get(cell.method, emu.beta)
    # Uniform candidates are drawn again for the second loss; others come from the loader, once.
    again = not cell.method.startswith(("san", "nscaching"))
    loss: dict[str, Any] = {
        "objective": {"name": "unbounded-label-smoothing", "label": label},
        "terms": [{"objective": plain, "weight": emu.alpha, "redraw": again}],
    }
    mutation = _mutation(cell, emu)
    return loss | ({"mutation": mutation} if mutation else {})


def _mutation(cell: Combination, emu: Emu) -> Mapping[str, Any] | None:
    if cell.method == "smoothing-only":
        return None
    if cell.method == "uni-mixup":
        return {"name": "mixup", "concentration": 2.0}
    reading: Reading = "equation-6" if cell.variant == "equation-6" else "code"
    return {"name": "emu", "take_positive": take_positive(emu.share, reading)}
