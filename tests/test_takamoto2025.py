"""The recipes of Takamoto et al. 2025: every printed setting, and what the cells change between them."""

from __future__ import annotations

import pytest

from falsum.recipe.settings import Recipe
from falsum.recipes import takamoto2025
from falsum.recipes.takamoto2025 import CELLS, DECIDING, take_positive
from falsum.reproduce.experiments import experiment, published


def cell(name: str) -> Recipe:
    return takamoto2025.recipe(f"takamoto2025/{name}")


def test_a_printed_share_is_read_both_ways() -> None:
    assert take_positive(0.94) == pytest.approx(0.06)
    assert take_positive(0.94, "equation-6") == 0.94


@pytest.mark.parametrize(
    ("model", "dim", "label", "take", "weight", "lr", "l3"),
    [
        ("complex", 200, 0.12, 0.08, 0.34, 0.1, 6e-5),
        ("distmult", 100, 0.25, 0.06, 0.73, 0.1, 6e-5),
        ("rotate", 200, 0.53, 0.61, 0.11, 0.05, 6e-3),
        ("transe", 100, 0.53, 0.61, 0.11, 0.05, 6e-3),
    ],
)
def test_table_5(model: str, dim: int, label: float, take: float, weight: float, lr: float, l3: float) -> None:
    """As the released code reads it; a penalty is divided by 3, and counts twice for two sides."""
    for graph in ("fb15k-237", "wn18rr"):
        emu, plain = cell(f"{graph}/{model}/uni-emu"), cell(f"{graph}/{model}/uni")
        assert (
            emu.model
            == plain.model
            == {"name": model, "dim": dim} | {k: emu.model[k] for k in emu.model.keys() - {"name", "dim"}}
        )
        assert emu.objective == {"name": "unbounded-label-smoothing", "label": label}
        assert emu.mutation == {"name": "emu", "take_positive": take, "exact": False, "tied": False}
        (term,) = emu.terms
        assert (term.objective["name"], term.weight, term.redraw, term.mutation) == ("softmax", weight, True, None)
        assert not emu.penalty
        assert plain.penalty == [
            {"name": "table-lp", "p": 3.0, "entity": pytest.approx(l3), "relation": pytest.approx(l3)}
        ]
        assert not plain.terms
        assert plain.mutation is None


def test_a_training_is_a_hundred_thousand_updates_in_two_halves() -> None:
    for graph, triples in takamoto2025.TRIPLES.items():
        recipe = cell(f"{graph}/distmult/uni")
        assert recipe.pretraining is not None
        first = recipe.pretraining.source
        assert isinstance(first, Recipe)
        assert (first.optimizer["name"], first.optimizer["lr"]) == ("adagrad", 0.1)
        assert (recipe.optimizer["name"], recipe.optimizer["lr"]) == ("adam", pytest.approx(0.01))
        steps = (first.train.epochs + recipe.train.epochs) * triples / recipe.train.batch_size
        assert steps == pytest.approx(100_000, rel=0.04)
    alone = cell("fb15k-237/distmult/uni-emu/adam")
    assert alone.pretraining is None
    assert (alone.optimizer["name"], alone.train.epochs) == ("adam", 184)


def test_what_cells_change() -> None:
    emu = cell("fb15k-237/distmult/uni-emu")
    changes = {
        "uni-emu/equation-6": {"mutation.take_positive": 0.94},
        "uni-emu/script": {"mutation.take_positive": 0.61, "objective.label": 0.53, "terms.weight": 0.11},
        "uni-emu/table-12-share-0.5": {"mutation.take_positive": 0.5, "objective.label": 0.53, "terms.weight": 0.11},
        "uni-emu/table-12-alpha-0.9": {"mutation.take_positive": 0.086, "objective.label": 0.53, "terms.weight": 0.9},
        "smoothing-only": {"mutation": None},
        "mutation-only": {"objective.label": 0.0},
        "vanilla-smoothing": {"objective.label": pytest.approx(9.718e-4, rel=1e-3)},
    }
    for name, changed in changes.items():
        found = cell(f"fb15k-237/distmult/{name}")
        expected = {
            "mutation": emu.mutation,
            "mutation.take_positive": 0.06,
            "objective.label": 0.25,
            "terms.weight": 0.73,
        } | changed
        assert found.objective["label"] == expected["objective.label"], name
        assert found.terms[0].weight == expected["terms.weight"], name
        if expected["mutation"] is None:
            assert found.mutation is None
        else:
            assert found.mutation is not None
            assert found.mutation["take_positive"] == expected["mutation.take_positive"], name
        assert found.noise == emu.noise
    for method in ("uni-emu", "mutation-only", "smoothing-only"):
        assert cell(f"fb15k-237/distmult/{method}/l3").penalty == cell("fb15k-237/distmult/uni").penalty
    assert not cell("fb15k-237/distmult/uni/no-l3").penalty
    san = cell("wn18rr/transe/san-emu")
    assert {k: san.noise[k] for k in ("name", "hops", "restart", "num", "filtered")} == {
        "name": "random-walk",
        "hops": 3,
        "restart": False,
        "num": 256,
        "filtered": True,
    }
    assert not san.terms[0].redraw
    assert cell("wn18rr/rotate/uni-mixup").mutation == {"name": "mixup", "concentration": 2.0}


def test_every_published_figure_has_a_cell_and_is_shown() -> None:
    chosen, figures = experiment("takamoto2025"), published("takamoto2025")
    names = {each.name for each in chosen.cells}
    assert {key for (key,) in figures} <= set(CELLS) <= names
    assert sum(map(len, figures.values())) == 187
    shown = {name for table in chosen.tables for name in table.cells}
    assert {key for (key,) in figures} <= shown
    assert set(DECIDING) <= shown
    for (key,), found in figures.items():
        assert chosen.cell(key).published == found
    assert chosen.cell("takamoto2025/fb15k-237/distmult/uni-emu").published["test", "mrr"] == 0.332
    assert chosen.cell("takamoto2025/wn18rr/transe/san").published["test", "hits@10"] == 0.518


def test_a_cell_comes_after_its_first_half() -> None:
    names = [each.name for each in experiment("takamoto2025").cells]
    for each in experiment("takamoto2025").cells:
        if each.source is not None:
            assert names.index(each.source) < names.index(each.name)
    single = [name for name in CELLS if "/hake/" in name or "/nscaching" in name or name.endswith("/adam")]
    assert sum(name.endswith("/first-half") for name in names) == len(CELLS) - len(single)


def test_other_models_and_graphs() -> None:
    """Tables 6, 7 and 11, and the sizes of Table 1."""
    yago = cell("yago3-10/rotate/uni-emu")
    assert (yago.objective["label"], yago.terms[0].weight, yago.mutation["take_positive"]) == (0.84, 0.46, 0.27)
    hake = cell("wn18rr/hake/uni-emu")
    assert hake.model == {
        "name": "hake",
        "dim": 1000,
        "phase_weight": 0.5,
        "modulus_weight": 0.5,
        "bound": pytest.approx(0.016),
    }
    assert (hake.noise["num"], hake.train.batch_size, hake.train.epochs) == (1024, 256, 236)
    assert hake.schedule["every"] == 118
    assert not hake.penalty
    wide = cell("fb15k-237/distmult/uni/d-1000-n-64")
    assert (wide.model["dim"], wide.noise["num"], wide.init.entity["high"]) == (1000, 64, pytest.approx(0.026))
    assert cell("fb15k-237/hake/uni/d-200").model["dim"] == 400
    cached = cell("fb15k-237/transe/nscaching-emu")
    assert (cached.noise["name"], cached.noise["num"], cached.noise["cache"]) == ("nscaching", 256, 256)
    assert (cached.optimizer["name"], cached.optimizer["lr"]) == ("adam", 5e-4)
