"""The numbers of the paper and of its scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Reading = Literal["code", "equation-6"]

FB, WN, YAGO = "fb15k-237", "wn18rr", "yago3-10"
GRAPHS = (FB, WN, YAGO)
MODELS = ("distmult", "complex", "transe", "rotate")
# Triples of the training split: how many epochs the steps are.
TRIPLES = {FB: 272_115, WN: 86_835, YAGO: 1_079_040}


def take_positive(printed: float, reading: Reading = "code") -> float:
    """The probability of a target's entry that a printed n_P/d stands for."""
    return printed if reading == "equation-6" else round(1 - printed, 6)


@dataclass(frozen=True)
class Emu:
    """alpha: weight of the loss of unmutated candidates. share: n_P/d as printed. beta: the label of mutated ones."""

    alpha: float
    share: float
    beta: float


@dataclass(frozen=True)
class Settings:
    """What the cells of a model on a graph share.

    l3: weight of |E|^3 + |R|^3 in baselines. reals: of an entity per dimension. triples: of a step, asked from both
    sides. margin: rows start in U(-b, b), b = (margin + 2) / dim; a softmax does not see it otherwise. stages: Adagrad,
    then Adam at a tenth of lr; else Adam at lr, and with `falls` at a tenth of it in the second half. options: of the
    model.
    """

    lr: float
    l3: float
    emu: Emu
    reals: int = 1
    dim: int = 100
    negatives: int = 256
    triples: int = 500
    steps: int = 100_000
    margin: float = 24.0
    stages: bool = True
    falls: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


SCRIPT = Emu(0.11, 0.39, 0.53)

# Table 5.
_COMMON = {
    "complex": Settings(0.1, 1e-5, Emu(0.34, 0.92, 0.12), reals=2),
    "distmult": Settings(0.1, 1e-5, Emu(0.73, 0.94, 0.25)),
    "rotate": Settings(0.05, 1e-3, SCRIPT, reals=2),
    "transe": Settings(0.05, 1e-3, SCRIPT),
}
# Table 6.
_YAGO = {
    "complex": Settings(0.1, 1e-5, Emu(0.536, 0.804, 0.193), reals=2),
    "distmult": Settings(0.1, 1e-5, Emu(0.54, 0.949, 0.22)),
    "rotate": Settings(0.1, 1e-5, Emu(0.46, 0.73, 0.84), reals=2),
    "transe": Settings(0.1, 5e-5, SCRIPT),
}
# Table 7, and HAKE's own authors.
_HAKE = Settings(5e-5, 0.0, Emu(0.1, 0.128, 0.964), reals=2, stages=False, falls=True)
_POLAR = {
    FB: replace(_HAKE, dim=1000, triples=512, margin=9.0, options={"modulus_weight": 3.5, "phase_weight": 1.0}),
    WN: replace(
        _HAKE,
        dim=500,
        negatives=1024,
        triples=256,
        steps=80_000,
        margin=6.0,
        options={"modulus_weight": 0.5, "phase_weight": 0.5},
    ),
    YAGO: replace(
        _HAKE,
        lr=2e-4,
        dim=500,
        triples=512,
        steps=180_000,
        options={"modulus_weight": 1.0, "phase_weight": 0.5},
    ),
}
SETTINGS: dict[tuple[str, str], Settings] = {
    **{(graph, model): _COMMON[model] for graph in (FB, WN) for model in MODELS},
    **{(YAGO, model): _YAGO[model] for model in MODELS},
    **{(graph, "hake"): settings for graph, settings in _POLAR.items()},
}
# Table 11.
NSCACHING = {
    "complex": Settings(3e-4, 1e-5, Emu(0.44, 0.34, 0.32), reals=2, stages=False),
    "distmult": Settings(1e-3, 1e-5, Emu(0.68, 0.17, 0.16), stages=False),
    "transe": Settings(5e-4, 2e-2, Emu(0.54, 0.168, 0.151), stages=False),
}
TABLE_12 = {
    "table-12": Emu(0.11, 0.914, 0.53),
    "table-12-alpha-0.5": Emu(0.5, 0.914, 0.53),
    "table-12-alpha-0.9": Emu(0.9, 0.914, 0.53),
    "table-12-share-0.1": Emu(0.11, 0.1, 0.53),
    "table-12-share-0.5": Emu(0.11, 0.5, 0.53),
    "table-12-beta-0.1": Emu(0.11, 0.914, 0.1),
    "table-12-beta-0.9": Emu(0.11, 0.914, 0.9),
}
