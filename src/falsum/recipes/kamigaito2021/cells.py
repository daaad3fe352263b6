"""From the released numbers to recipes, and the names of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from falsum.recipe.settings import Recipe, read
from falsum.recipes.kamigaito2021.settings import FB, SETTINGS, STOPS, WN, Kind, LpWeights, Settings, Stop

GRAPHS = (FB, WN)
MODELS = ("tucker", "rescal", "complex", "distmult", "transe", "rotate")
LOSSES: dict[str, Kind] = {
    "ns": "logistic",
    "sans": "logistic",
    "sce": "softmax",
    "sce-ls": "softmax",
    "ns-freq": "logistic",
    "sce-bc": "softmax",
}
# Table 2 has the first four losses; the last two were only trained to start others from (Tables 3 and 8).
TABLE2 = ("ns", "sans", "sce", "sce-ls")
FURTHER = ((FB, "rescal", "ns-freq"), (FB, "rescal", "sce-bc"), (WN, "complex", "sce-bc"), (WN, "rotate", "ns-freq"))
SOFTMAX_SOURCES, LOGISTIC_SOURCES = ("sce", "sce-bc", "sce-ls"), ("ns", "ns-freq", "sans")
CHAINS = (
    *((FB, "rescal", "sce-ls", source) for source in SOFTMAX_SOURCES),
    *((FB, "rescal", "sans", source) for source in LOGISTIC_SOURCES),
    *((WN, "complex", "sce-ls", source) for source in SOFTMAX_SOURCES),
    *((WN, "rotate", "sans", source) for source in LOGISTIC_SOURCES),
)

# A penalty below this changes no digit of an fp32 gradient.
SMALLEST = 1e-12


@dataclass(frozen=True)
class Combination:
    """What a cell of the paper's tables is about: graph, model, loss, and the loss of the run that it starts from."""

    graph: str
    model: str
    loss: str
    source: str = ""

    @property
    def name(self) -> str:
        start = f"/from-{self.source}" if self.source else ""
        return f"kamigaito2021/{self.graph}/{self.model}/{self.loss}{start}"

    @property
    def before(self) -> Combination | None:
        """The cell whose weights this one starts from."""
        return Combination(self.graph, self.model, self.source) if self.source else None


CELLS = {
    cell.name: cell
    for cell in (
        *(Combination(graph, model, loss) for graph in GRAPHS for model in MODELS for loss in TABLE2),
        *(Combination(*further) for further in FURTHER),
        *(Combination(*chain) for chain in CHAINS),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of one cell, e.g. "kamigaito2021/wn18rr/complex/sce-ls" or ".../sce-ls/from-sce"."""
    return read(_values(CELLS[name]))


def _values(cell: Combination) -> dict[str, Any]:
    settings = SETTINGS[cell.graph, cell.model, LOSSES[cell.loss]]
    stop = STOPS.get((cell.graph, cell.model, cell.loss), Stop())
    optimizer, lr = settings.optimizer
    entity, relation = settings.dropout
    values: dict[str, Any] = {
        "name": cell.name,
        "model": _model(cell, settings),
        "objective": _objective(cell.loss, settings),
        "noise": _noise(cell.loss, settings),
        "weighting": {"name": "backward-correction", "form": "ratio"} if cell.loss == "sce-bc" else {"name": "equal"},
        "penalty": _penalty(cell.loss, settings.penalty),
        "optimizer": {"name": optimizer, "lr": lr},
        "schedule": _schedule(settings),
        "init": _init(cell.model, *settings.init),
        "dropout": {"entity": entity, "relation": relation},
        "train": {"epochs": stop.epochs, "batch_size": settings.batch_size, "inverses": settings.inverses},
        "validation": {"every": 5, "patience": stop.patience, "filter_test": True, "floor": stop.floor},
    }
    return values | ({"pretraining": {"source": _values(cell.before)}} if cell.before else {})


def _model(cell: Combination, settings: Settings) -> dict[str, Any]:
    if cell.model == "tucker":
        return {"name": "tucker3", "dim": settings.dim, "relation_dim": settings.dim, "matrix_dropout": settings.core}
    euclidean = cell.model == "transe" and LOSSES[cell.loss] == "softmax"
    return {"name": "transe-l2" if euclidean else cell.model, "dim": settings.dim}


def _objective(loss: str, settings: Settings) -> dict[str, Any]:
    if LOSSES[loss] == "softmax":
        smoothing = settings.smoothing if loss == "sce-ls" else 0.0
        return {"name": "softmax", "label_smoothing": smoothing, "spread": "others"}
    if loss == "sans":
        by = settings.inverse_temperature
        return {"name": "self-adversarial", "inverse_temperature": by, "offset": settings.offset}
    return {"name": "negative-sampling", "offset": settings.offset}


def _noise(loss: str, settings: Settings) -> dict[str, Any]:
    if settings.draws is None:
        return {"name": "all"}
    tails, heads = settings.draws
    return {"name": "frequency-weighted" if loss == "ns-freq" else "uniform", "num": tails, "num_head": heads}


def _penalty(loss: str, penalty: LpWeights | None) -> list[dict[str, Any]]:
    """See the package's docstring: once per triple becomes once per side, and half a loss becomes twice a penalty."""
    if penalty is None or max(penalty.entity, penalty.relation) < SMALLEST:
        return []
    scale = 2.0 if loss in ("sans", "ns-freq") else 1.0
    name, by_entity, by_relation = ("lp", 0.5, 0.5) if penalty.weighted else ("table-lp", 2.0, 1.0)
    entity, relation = (w * scale if w >= SMALLEST else 0.0 for w in (penalty.entity, penalty.relation))
    return [{"name": name, "p": penalty.p, "entity": entity * by_entity, "relation": relation * by_relation}]


def _schedule(settings: Settings) -> dict[str, Any]:
    if settings.plateau is None:
        return {"name": "constant"}
    patience, threshold = settings.plateau
    return {"name": "plateau", "decay": 0.95, "patience": patience, "threshold": threshold}


def _init(model: str, name: str, value: float) -> dict[str, Any]:
    """Initialisers of entity and relation rows; RotatE's phases and TuckER's core keep falsum's, which are theirs."""
    if name == "uniform":
        rows: dict[str, Any] = {"name": name, "low": value, "high": 1.0}
    else:
        rows = {"name": name, ("std" if name == "normal" else "gain"): value}
    return {"entity": rows} if model == "rotate" else {"entity": rows, "relation": rows}
