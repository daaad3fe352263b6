"""The numbers of the released configurations: what the cells of one model share on a graph, per kind of loss.

The logistic losses (NS, SANS, frequency-weighted NS) share one set, the softmax losses (SCE, SCE-LS, SCE-BC) another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["logistic", "softmax"]


@dataclass(frozen=True)
class LpWeights:
    """An lp penalty as LibKGE counts it. weighted: on the rows of a batch, else on the whole tables."""

    p: int
    weighted: bool
    entity: float
    relation: float


@dataclass(frozen=True)
class Settings:
    """One released configuration, less what depends on the loss alone.

    init: ("uniform", a) is U(a, 1); ("normal", std); ("xavier_...", gain). dropout: of entity and relation rows.
    plateau: (patience in validations, relative threshold), or None for a constant rate. draws: negatives where the
    tail and where the head is open; None: every entity. core: dropout of TuckER's relation matrices.
    """

    dim: int
    init: tuple[str, float]
    optimizer: tuple[str, float]
    batch_size: int
    plateau: tuple[int, float] | None
    inverses: bool = False
    dropout: tuple[float, float] = (0.0, 0.0)
    penalty: LpWeights | None = None
    draws: tuple[int, int] | None = None
    offset: float = 0.0
    inverse_temperature: float = 1.0
    smoothing: float = 0.3
    core: float = 0.0


FB, WN = "fb15k-237", "wn18rr"


def _tucker(dropout: float, core: float) -> Settings:
    return Settings(200, ("xavier_normal", 1.0), ("adam", 0.0005), 128, None, dropout=(dropout, 0.0), core=core)


SETTINGS: dict[tuple[str, str, Kind], Settings] = {
    (FB, "tucker", "logistic"): _tucker(0.3, 0.4),
    (FB, "tucker", "softmax"): _tucker(0.3, 0.4),
    (WN, "tucker", "logistic"): _tucker(0.2, 0.2),
    (WN, "tucker", "softmax"): _tucker(0.2, 0.2),
    (FB, "rescal", "logistic"): Settings(
        128,
        ("xavier_normal", 1.0),
        ("adagrad", 0.017017577),
        128,
        (5, 1e-4),
        inverses=True,
        dropout=(0.346598208, 0.0),
        penalty=LpWeights(3, True, 1.21664939e-12, 4.79694729e-14),
        draws=(155, 22),
        offset=1.0,
    ),
    (FB, "rescal", "softmax"): Settings(
        128,
        ("normal", 0.122533308),
        ("adam", 0.00073918731),
        512,
        (1, 1e-4),
        dropout=(0.426742946, 0.159357467),
    ),
    (WN, "rescal", "logistic"): Settings(
        128,
        ("normal", 0.0016394765),
        ("adam", 0.0015198377),
        512,
        (1, 1e-4),
        inverses=True,
        draws=(8, 6),
        offset=1.0,
    ),
    (WN, "rescal", "softmax"): Settings(
        256,
        ("xavier_normal", 1.0),
        ("adam", 0.0024573814),
        512,
        (9, 1e-4),
        penalty=LpWeights(3, True, 1.08584236e-05, 6.55217799e-06),
    ),
    (FB, "complex", "logistic"): Settings(
        256,
        ("normal", 0.000480913),
        ("adagrad", 0.240771162),
        512,
        (4, 1e-4),
        inverses=True,
        dropout=(0.182161808, 0.04366219),
        penalty=LpWeights(2, True, 6.34e-09, 9.08e-18),
        draws=(48, 1),
        offset=1.0,
    ),
    (FB, "complex", "softmax"): Settings(
        128,
        ("uniform", -0.31095556),
        ("adagrad", 0.50337579),
        512,
        (7, 1e-4),
        dropout=(0.047619581, 0.0),
        penalty=LpWeights(2, False, 1.48e-18, 0.0),
    ),
    (WN, "complex", "logistic"): Settings(
        128,
        ("xavier_normal", 1.0),
        ("adam", 0.000331847),
        1024,
        (7, 1e-4),
        inverses=True,
        dropout=(0.046551704, 0.082643807),
        penalty=LpWeights(2, False, 8.9e-20, 0.000747368),
        draws=(6, 6),
        offset=1.0,
    ),
    (WN, "complex", "softmax"): Settings(
        128,
        ("uniform", -0.281482491),
        ("adagrad", 0.525580862),
        512,
        (5, 1e-4),
        dropout=(0.359274914, 0.311228383),
        penalty=LpWeights(2, True, 4.523e-06, 4.19e-10),
    ),
    (FB, "distmult", "logistic"): Settings(
        256,
        ("uniform", -0.847957761),
        ("adagrad", 0.141180888),
        1024,
        (9, 1e-4),
        inverses=True,
        dropout=(0.455297649, 0.360204339),
        penalty=LpWeights(3, True, 1.55e-10, 3.93e-15),
        draws=(367, 557),
        offset=1.0,
    ),
    (FB, "distmult", "softmax"): Settings(
        128,
        ("normal", 0.80619994),
        ("adam", 0.000633628),
        512,
        (1, 1e-4),
        inverses=True,
        dropout=(0.370197177, 0.280091763),
    ),
    (WN, "distmult", "logistic"): Settings(
        128,
        ("xavier_normal", 1.0),
        ("adam", 0.000331847),
        1024,
        (7, 1e-4),
        inverses=True,
        dropout=(0.046551704, 0.082643807),
        draws=(6, 6),
        offset=1.0,
    ),
    (WN, "distmult", "softmax"): Settings(
        128,
        ("uniform", -0.31095556),
        ("adagrad", 0.50337579),
        512,
        (7, 1e-4),
        inverses=True,
        dropout=(0.047619581, 0.443125665),
        penalty=LpWeights(2, False, 1.44e-18, 1.44e-18),
    ),
    (FB, "transe", "logistic"): Settings(
        1000, ("xavier_uniform", 1.0), ("adam", 5e-05), 1024, (5, 1e-4), draws=(256, 256), offset=9.0
    ),
    (FB, "transe", "softmax"): Settings(
        128, ("uniform", -1e-05), ("adam", 0.0003), 128, (5, 1e-4), inverses=True, smoothing=0.01
    ),
    (WN, "transe", "logistic"): Settings(
        500,
        ("xavier_uniform", 1.0),
        ("adam", 5e-05),
        512,
        (5, 1e-3),
        draws=(1024, 1024),
        offset=6.0,
        inverse_temperature=0.5,
    ),
    (WN, "transe", "softmax"): Settings(
        512,
        ("xavier_normal", 1.0),
        ("adagrad", 0.253272017),
        128,
        (5, 1e-4),
        inverses=True,
        dropout=(0.251920493, 0.0),
        penalty=LpWeights(2, False, 2.12992936e-07, 8.99203405e-13),
        smoothing=0.01,
    ),
    (FB, "rotate", "logistic"): Settings(
        1000, ("xavier_uniform", 1.0), ("adam", 5e-05), 1024, (5, 1e-4), draws=(256, 256), offset=9.0
    ),
    (FB, "rotate", "softmax"): Settings(
        1000, ("xavier_uniform", 1.0), ("adam", 5e-05), 1024, (5, 1e-3), smoothing=0.01
    ),
    (WN, "rotate", "logistic"): Settings(
        500,
        ("xavier_uniform", 1.0),
        ("adam", 5e-05),
        512,
        (5, 1e-3),
        draws=(1024, 1024),
        offset=6.0,
        inverse_temperature=0.5,
    ),
    (WN, "rotate", "softmax"): Settings(500, ("xavier_uniform", 1.0), ("adam", 5e-05), 512, (5, 1e-3), smoothing=0.01),
}


@dataclass(frozen=True)
class Stop:
    """When training ends: the most epochs, validations without a best, and the MRR to have reached by epoch 50."""

    epochs: int = 800
    patience: int = 10
    floor: float = 0.0


# Cells that end otherwise than most, by (graph, model, loss).
STOPS = {
    (FB, "rescal", "sans"): Stop(400),
    (FB, "rescal", "ns-freq"): Stop(400),
    (FB, "rescal", "sce-bc"): Stop(400),
    (FB, "rotate", "sce"): Stop(floor=1e-5),
    (FB, "rotate", "sce-ls"): Stop(floor=1e-5),
    (WN, "tucker", "ns"): Stop(400, 7, 1e-4),
    (WN, "tucker", "sans"): Stop(400, 7),
    (WN, "rescal", "ns"): Stop(400),
    (WN, "rescal", "sans"): Stop(400),
    (WN, "complex", "ns"): Stop(400, 7, 1e-4),
    (WN, "complex", "sans"): Stop(400, 7),
    (WN, "complex", "sce-bc"): Stop(400),
    (WN, "rotate", "ns"): Stop(floor=1e-5),
    (WN, "rotate", "ns-freq"): Stop(400, floor=1e-5),
    (WN, "rotate", "sce"): Stop(400, floor=1e-5),
    (WN, "rotate", "sce-ls"): Stop(400, floor=1e-5),
}
