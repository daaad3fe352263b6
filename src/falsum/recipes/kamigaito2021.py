"""Kamigaito & Hayashi (ACL 2021), Table 2: the bilinear cells trained with softmax cross-entropy (SCE, SCE-LS).

Settings are those of the released configurations, which differ from the printed tables in places. What follows their
code and would not be a default of ours: validation also filters test answers; plateau patience counts validations
(every 5 epochs); "uniform" initialisers reach from a to 1.0; `dim` is the real length of a row. LibKGE counts a
weighted penalty once per triple, falsum once per side: its weights are halved here. Deviations: equal queries are
grouped; with inverse relations both sides of a step share one dropout mask of the candidates; RESCAL's relation dropout
has one mask per distinct relation of a batch instead of one per triple; the rule that stops a run below an MRR of 0.05
after 50 epochs is left out (DistMult on FB15k-237 is close to it there and goes on to learn).
"""

from __future__ import annotations

from typing import Any

from falsum.recipe import Recipe, read

# (uniform, a) is U(a, 1); weighted penalties are (p, entity, relation) as LibKGE counts them.
_SHARED: dict[str, dict[str, dict[str, Any]]] = {
    "fb15k-237": {
        "complex": {
            "dim": 128,
            "init": ("uniform", -0.31095556),
            "dropout": (0.047619581, 0.0),
            "optimizer": ("adagrad", 0.50337579),
            "patience": 7,
        },
        "distmult": {
            "dim": 128,
            "inverses": True,
            "init": ("normal", 0.80619994),
            "dropout": (0.370197177, 0.280091763),
            "optimizer": ("adam", 0.000633628),
            "patience": 1,
        },
        "rescal": {
            "dim": 128,
            "init": ("normal", 0.122533308),
            "dropout": (0.426742946, 0.159357467),
            "optimizer": ("adam", 0.00073918731),
            "patience": 1,
        },
    },
    "wn18rr": {
        "complex": {
            "dim": 128,
            "init": ("uniform", -0.281482491),
            "dropout": (0.359274914, 0.311228383),
            "penalty": (2, 4.523e-06, 4.19e-10),
            "optimizer": ("adagrad", 0.525580862),
            "patience": 5,
        },
        "distmult": {
            "dim": 128,
            "inverses": True,
            "init": ("uniform", -0.31095556),
            "dropout": (0.047619581, 0.443125665),
            "optimizer": ("adagrad", 0.50337579),
            "patience": 7,
        },
        "rescal": {
            "dim": 256,
            "init": ("xavier_normal", 1.0),
            "dropout": (0.0, 0.0),
            "penalty": (3, 1.08584236e-05, 6.55217799e-06),
            "optimizer": ("adam", 0.0024573814),
            "patience": 9,
        },
    },
}

_SMOOTHING = {"sce": 0.0, "sce-ls": 0.3}


def _cell(graph: str, model: str, loss: str) -> Recipe:
    settings = _SHARED[graph][model]
    entity, relation = settings["dropout"]
    name, lr = settings["optimizer"]
    penalty = []
    if "penalty" in settings:
        p, w_entity, w_relation = settings["penalty"]
        penalty = [{"name": "lp", "p": p, "entity": w_entity / 2, "relation": w_relation / 2}]
    init = _init(*settings["init"])
    return read(
        {
            "name": f"kamigaito2021/{graph}/{model}/{loss}",
            "model": {"name": model, "dim": settings["dim"]},
            "objective": {"name": "softmax", "label_smoothing": _SMOOTHING[loss], "spread": "others"},
            "noise": {"name": "all"},
            "penalty": penalty,
            "optimizer": {"name": name, "lr": lr},
            "schedule": {"name": "plateau", "decay": 0.95, "patience": settings["patience"], "threshold": 1e-4},
            "init": {"entity": init, "relation": init},
            "dropout": {"entity": entity, "relation": relation},
            "train": {"epochs": 800, "batch_size": 512, "inverses": settings.get("inverses", False)},
            "validation": {"every": 5, "patience": 10, "filter_test": True},
        }
    )


def _init(name: str, value: float) -> dict[str, Any]:
    if name == "uniform":
        return {"name": name, "low": value, "high": 1.0}
    return {"name": name, ("std" if name == "normal" else "gain"): value}


CELLS = {
    f"kamigaito2021/{graph}/{model}/{loss}": (graph, model, loss)
    for graph, models in _SHARED.items()
    for model in models
    for loss in _SMOOTHING
}


def recipe(name: str) -> Recipe:
    """The recipe of one cell, e.g. "kamigaito2021/wn18rr/complex/sce-ls"."""
    return _cell(*CELLS[name])
