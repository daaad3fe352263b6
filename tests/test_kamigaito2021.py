"""The recipes of Kamigaito & Hayashi 2021: all there, their numbers those of the released configurations."""

from __future__ import annotations

import math
from typing import Any

import pytest

from falsum import recipes
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import Recipe
from falsum.recipes import kamigaito2021
from falsum.recipes.kamigaito2021 import CELLS
from falsum.training.loop import Trainer
from laws import worlds

MODELS = ("tucker", "rescal", "complex", "distmult", "transe", "rotate")


def cell(name: str) -> Recipe:
    return kamigaito2021.recipe(f"kamigaito2021/{name}")


def says(part: dict[str, Any], **options: Any) -> bool:
    """Whether a part of a recipe has these options; it may have others, at their defaults."""
    return all(part[key] == value for key, value in options.items())


# ------------------------------------------------------------------------------------------------------------- names


def test_the_cells_are_those_of_the_tables() -> None:
    plain = {name for name, cell in CELLS.items() if not cell.source}
    table2 = {
        f"kamigaito2021/{graph}/{model}/{loss}"
        for graph in ("fb15k-237", "wn18rr")
        for model in MODELS
        for loss in ("ns", "sans", "sce", "sce-ls")
    }
    assert len(table2) == 48
    assert plain - table2 == {
        "kamigaito2021/fb15k-237/rescal/ns-freq",
        "kamigaito2021/fb15k-237/rescal/sce-bc",
        "kamigaito2021/wn18rr/complex/sce-bc",
        "kamigaito2021/wn18rr/rotate/ns-freq",
    }
    chains = {
        "fb15k-237/rescal/sce-ls": ("sce", "sce-bc", "sce-ls"),
        "fb15k-237/rescal/sans": ("ns", "ns-freq", "sans"),
        "wn18rr/complex/sce-ls": ("sce", "sce-bc", "sce-ls"),
        "wn18rr/rotate/sans": ("ns", "ns-freq", "sans"),
    }
    assert set(CELLS) - plain == {f"kamigaito2021/{to}/from-{of}" for to, sources in chains.items() for of in sources}
    assert set(CELLS) <= set(recipes.names())


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_a_recipe_of_its_name(name: str) -> None:
    recipe = kamigaito2021.recipe(name)
    assert recipe.name == name == CELLS[name].name
    assert recipe.validation.filter_test
    assert recipe.validation.every == 5
    assert recipe.optimizer.get("lazy", False) is False, "their Adam moves every row"


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.source])
def test_a_chain_is_its_cell_with_another_as_its_start(name: str) -> None:
    target, source = name.split("/from-")
    recipe = kamigaito2021.recipe(name)
    assert recipe.pretraining is not None
    assert recipe.pretraining.source == kamigaito2021.recipe(f"{target.rpartition('/')[0]}/{source}")
    assert (recipe.pretraining.parts, recipe.pretraining.inverses) == ("all", True)
    assert recipe.changed(pretraining=None, name=target) == kamigaito2021.recipe(target)


# ----------------------------------------------------------------------------------------------------------- numbers

# The softmax cells of bilinear models as they were first published here, and are to stay: dim, inverses, initialiser,
# dropout, penalty, optimizer, learning rate, patience of the schedule.
UNIFORM = {"name": "uniform", "high": 1.0}
FIRST: dict[str, tuple[Any, ...]] = {
    "fb15k-237/complex": (
        128, False, UNIFORM | {"low": -0.31095556}, (0.047619581, 0.0), [], "adagrad", 0.50337579, 7,
    ),
    "fb15k-237/distmult": (
        128, True, {"name": "normal", "std": 0.80619994}, (0.370197177, 0.280091763), [], "adam", 0.000633628, 1,
    ),
    "fb15k-237/rescal": (
        128, False, {"name": "normal", "std": 0.122533308}, (0.426742946, 0.159357467), [], "adam", 0.00073918731, 1,
    ),
    "wn18rr/complex": (
        128, False, UNIFORM | {"low": -0.281482491}, (0.359274914, 0.311228383),
        [{"name": "lp", "p": 2.0, "entity": 2.2615e-06, "relation": 2.095e-10}], "adagrad", 0.525580862, 5,
    ),
    "wn18rr/distmult": (
        128, True, UNIFORM | {"low": -0.31095556}, (0.047619581, 0.443125665), [], "adagrad", 0.50337579, 7,
    ),
    "wn18rr/rescal": (
        256, False, {"name": "xavier_normal", "gain": 1.0}, (0.0, 0.0),
        [{"name": "lp", "p": 3.0, "entity": 5.4292118e-06, "relation": 3.276088995e-06}], "adam", 0.0024573814, 9,
    ),
}  # fmt: skip


@pytest.mark.parametrize("loss", ["sce", "sce-ls"])
@pytest.mark.parametrize("name", FIRST)
def test_the_first_twelve_cells_are_what_they_were(name: str, loss: str) -> None:
    dim, inverses, init, dropout, penalty, optimizer, lr, patience = FIRST[name]
    recipe = cell(f"{name}/{loss}")
    assert says(recipe.model, name=name.split("/")[1], dim=dim)
    assert says(recipe.objective, name="softmax", label_smoothing={"sce": 0.0, "sce-ls": 0.3}[loss], spread="others")
    assert says(recipe.noise, name="all", filtered=False)
    assert says(recipe.weighting, name="equal")
    assert recipe.pretraining is None
    assert recipe.penalty == penalty
    assert (recipe.optimizer["name"], recipe.optimizer["lr"]) == (optimizer, lr)
    assert says(recipe.schedule, name="plateau", decay=0.95, patience=patience, threshold=1e-4, warmup=0)
    assert recipe.init.entity == recipe.init.relation == init
    assert (recipe.dropout.entity, recipe.dropout.relation) == dropout
    train = recipe.train
    assert (train.epochs, train.batch_size, train.inverses, train.grouped) == (800, 512, inverses, True)
    assert (recipe.validation.patience, recipe.validation.metric, recipe.validation.floor) == (10, "mrr", 0.0)


def test_sampled_bilinear_cells() -> None:
    recipe = cell("fb15k-237/complex/sans")
    assert says(recipe.model, name="complex", dim=256)
    assert says(recipe.objective, name="self-adversarial", inverse_temperature=1.0, offset=1.0)
    assert says(recipe.noise, name="uniform", num=48, num_head=1, shared="query", filtered=False, replacement=True)
    assert recipe.train.inverses
    assert recipe.optimizer["lr"] == 0.240771162
    assert recipe.schedule["patience"] == 4


def test_half_a_loss_is_twice_a_penalty() -> None:
    """A weighted penalty is halved and an unweighted one keeps its relation weight; SANS doubles both."""
    assert cell("fb15k-237/complex/ns").penalty == [{"name": "lp", "p": 2.0, "entity": 3.17e-09, "relation": 0.0}]
    assert cell("fb15k-237/complex/sans").penalty == [{"name": "lp", "p": 2.0, "entity": 6.34e-09, "relation": 0.0}]
    table = {"name": "table-lp", "p": 2.0, "entity": 0.0}
    assert cell("wn18rr/complex/ns").penalty == [table | {"relation": 0.000747368}]
    assert cell("wn18rr/complex/sans").penalty == [table | {"relation": 0.001494736}]
    assert cell("wn18rr/transe/sce").penalty == [table | {"entity": 4.25985872e-07, "relation": 0.0}]


def test_penalties_that_no_gradient_notices_are_left_out() -> None:
    assert cell("fb15k-237/complex/sce").penalty == []
    assert cell("wn18rr/distmult/sce").penalty == []


@pytest.mark.parametrize(
    ("graph", "dim", "num", "offset", "by"), [("fb15k-237", 1000, 256, 9.0, 1.0), ("wn18rr", 500, 1024, 6.0, 0.5)]
)
@pytest.mark.parametrize("model", ["transe", "rotate"])
def test_distance_cells(model: str, graph: str, dim: int, num: int, offset: float, by: float) -> None:
    ns, sans, sce, ls = (cell(f"{graph}/{model}/{loss}") for loss in ("ns", "sans", "sce", "sce-ls"))
    for recipe in (ns, sans):
        assert says(recipe.model, name=model, dim=dim)
        assert (recipe.noise["num"], recipe.noise["num_head"], recipe.objective["offset"]) == (num, num, offset)
        assert recipe.optimizer["lr"] == 5e-05
        assert recipe.init.entity == {"name": "xavier_uniform", "gain": 1.0}
        assert not recipe.train.inverses
    assert sans.objective["inverse_temperature"] == by
    assert sce.model["name"] == ls.model["name"] == ("transe-l2" if model == "transe" else "rotate")
    assert (sce.objective["label_smoothing"], ls.objective["label_smoothing"]) == (0.0, 0.01)
    assert sce.train.inverses == (model == "transe")
    if model == "rotate":
        assert ns.init.relation == {"name": "uniform", "low": -math.pi, "high": math.pi}


def test_tucker_has_a_core_and_no_draws() -> None:
    for loss in ("ns", "sans", "sce", "sce-ls"):
        recipe = cell(f"wn18rr/tucker/{loss}")
        assert says(recipe.model, name="tucker3", dim=200, relation_dim=200, matrix_dropout=0.2)
        assert recipe.noise["name"] == "all"
        assert recipe.schedule["name"] == "constant"
        assert recipe.init.parameters == {"name": "normal", "std": 1.0}
        assert (recipe.train.batch_size, recipe.optimizer["lr"], recipe.dropout.entity) == (128, 0.0005, 0.2)
    assert cell("wn18rr/tucker/ns").objective["offset"] == 0.0
    assert cell("fb15k-237/tucker/sce").model["matrix_dropout"] == 0.4


def test_losses_that_others_start_from() -> None:
    freq, corrected = cell("wn18rr/rotate/ns-freq"), cell("fb15k-237/rescal/sce-bc")
    assert says(freq.noise, name="frequency-weighted", num=1024, num_head=1024, exponent=1.0)
    assert freq.objective["name"] == "negative-sampling"
    assert says(corrected.weighting, name="backward-correction", form="ratio")
    assert corrected.objective["label_smoothing"] == 0.0


@pytest.mark.parametrize(
    ("name", "epochs", "patience", "floor"),
    [
        ("fb15k-237/rescal/ns", 800, 10, 0.0),
        ("fb15k-237/rescal/sans", 400, 10, 0.0),
        ("fb15k-237/rotate/sce", 800, 10, 1e-5),
        ("wn18rr/tucker/ns", 400, 7, 1e-4),
        ("wn18rr/tucker/sce", 800, 10, 0.0),
        ("wn18rr/complex/sans", 400, 7, 0.0),
        ("wn18rr/rotate/ns", 800, 10, 1e-5),
        ("wn18rr/rotate/sce-ls", 400, 10, 1e-5),
    ],
)
def test_when_training_ends(name: str, epochs: int, patience: int, floor: float) -> None:
    recipe = cell(name)
    assert (recipe.train.epochs, recipe.validation.patience, recipe.validation.floor) == (epochs, patience, floor)


# ---------------------------------------------------------------------------------------------------------- training

SAMPLE = [
    f"{graph}/{model}/{loss}" for model in MODELS for graph, loss in (("fb15k-237", "sans"), ("wn18rr", "sce-ls"))
]
SAMPLE += ["fb15k-237/rescal/sce-bc", "wn18rr/rotate/ns-freq", "wn18rr/tucker/ns", "wn18rr/complex/ns"]


@pytest.mark.parametrize("name", SAMPLE)
def test_a_cell_trains_on_a_small_graph(name: str) -> None:
    settings: dict[str, Any] = {"model.dim": 8, "train.device": "cpu", "train.batch_size": 50}
    settings |= {"model.relation_dim": 4} if "tucker" in name else {}
    settings |= {"noise.num": 5, "noise.num_head": 3} if "num" in cell(name).noise else {}
    graph = worlds.graph(30, 3, sizes=(150, 20, 20))
    trainer = Trainer(assemble(cell(name).changed(**settings), graph))
    assert trainer.job.graph.has_inverses == cell(name).train.inverses
    first = [trainer.step() for _ in range(2)]
    assert all(math.isfinite(value) for value in first)
