"""A recipe is its file: written and read back it is the same, and what is wrong in it is named with what is legal."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from falsum import recipes
from falsum.errors import UserError
from falsum.graph import load
from falsum.models import MODELS
from falsum.noise.pools import Seen
from falsum.noise.proposals import Counted
from falsum.recipe import memory
from falsum.recipe.assemble import assemble
from falsum.recipe.parts import FAMILIES, build, options
from falsum.recipe.settings import Recipe, read, read_file
from falsum.recipe.text import parse_setting
from laws import worlds

MODEL = {"name": "complex", "dim": 8}
# Where a member of a family stands in a recipe.
PLACES: dict[str, Any] = {
    "model": lambda part: {"model": part},
    "noise": lambda part: {"model": MODEL, "noise": part},
    "objective": lambda part: {"model": MODEL, "objective": part},
    "weighting": lambda part: {"model": MODEL, "weighting": part},
    "penalty": lambda part: {"model": MODEL, "penalty": [part]},
    "optimizer": lambda part: {"model": MODEL, "optimizer": part},
    "schedule": lambda part: {"model": MODEL, "schedule": part},
    "mutation": lambda part: {"model": MODEL, "mutation": part},
    "init": lambda part: {"model": MODEL, "init": {"entity": part, "parameters": part}},
    "proposal": lambda part: composed(proposal=part),
    "pool": lambda part: composed(proposal={"name": "even", "pool": part}),
    "slot": lambda part: composed(slot=part),
    "count": lambda part: composed(count=part),
    "suspects": lambda part: composed(suspects=part),
    "curve": lambda part: {"model": MODEL, "noise": {"name": "pseudo-typed", "uniform": part}},
}
# Where a part of such a family then stands.
PATHS: dict[str, tuple[Any, ...]] = {
    "penalty": ("penalty", 0),
    "init": ("init", "entity"),
    "proposal": ("noise", "proposal"),
    "pool": ("noise", "proposal", "pool"),
    "slot": ("noise", "slot"),
    "count": ("noise", "count"),
    "suspects": ("noise", "suspects"),
    "curve": ("noise", "uniform"),
}
MEMBERS = [(family, name) for family, members in FAMILIES.items() for name in members]


def composed(**parts: Any) -> dict[str, Any]:
    return {"model": MODEL, "noise": {"name": "composed", **parts}}


def found(values: Any, family: str) -> Any:
    """The part of a family in nested settings."""
    for key in PATHS.get(family, (family,)):
        values = values[key]
    return values


def whole(family: str, name: str) -> dict[str, Any]:
    """A recipe with one member of one family in it."""
    needs = {"model": {"dim": 8}, "model-based": {"source": "runs/sub"}}
    return PLACES[family]({"name": name, **needs.get(family, {}), **needs.get(name, {})})


def test_every_family_has_a_place() -> None:
    assert set(PLACES) == set(FAMILIES)


@pytest.mark.parametrize("member", MEMBERS, ids="-".join)
def test_written_and_read_a_recipe_is_the_same(member: tuple[str, str], tmp_path: Path) -> None:
    recipe = read(whole(*member))
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.to_toml())
    assert read_file(path) == recipe
    assert read_file(path).to_toml() == recipe.to_toml()


@pytest.mark.parametrize("member", MEMBERS, ids="-".join)
def test_every_setting_of_a_member_is_written_out(member: tuple[str, str]) -> None:
    """The file is enough to rerun when a later version has other defaults; only None, which TOML lacks, is left out."""
    text = tomllib.loads(read(whole(*member)).to_toml())
    family, name = member
    part = found(text, family) if options(family, name).model_fields else {}
    fields = options(family, name).model_fields
    for key, field in fields.items():
        assert key in part or field.default is None


@pytest.mark.parametrize("member", [m for m in MEMBERS if m[0] != "init"], ids="-".join)
def test_every_member_is_built_from_its_part(member: tuple[str, str]) -> None:
    part = found(read(whole(*member)).model_dump(), member[0])
    assert type(build(member[0], part)) is FAMILIES[member[0]][member[1]]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("inverses", [True, False])
def test_every_model_is_assembled_on_a_graph(model: str, inverses: bool) -> None:
    g = worlds.graph()
    job = assemble(read({"model": {"name": model, "dim": 8}, "train": {"inverses": inverses, "device": "cpu"}}), g)
    assert job.scoring.entities.weight.shape == (7, 8)
    assert job.scoring.relations.weight.shape == (4 if inverses else 2, job.scoring.model.relation_width)
    assert job.graph.has_inverses == inverses
    for weight in (job.scoring.entities.weight, job.scoring.relations.weight, *job.scoring.model.parameters()):
        assert torch.isfinite(weight).all()


def test_initial_weights_follow_the_seed_of_the_recipe() -> None:
    g, recipe = worlds.graph(), read({"model": MODEL, "train": {"device": "cpu"}})
    one, two = assemble(recipe, g), assemble(recipe, g)
    other = assemble(recipe.changed(**{"train.seed": 1}), g)
    assert torch.equal(one.scoring.entities.weight, two.scoring.entities.weight)
    assert not torch.equal(one.scoring.entities.weight, other.scoring.entities.weight)
    assert not torch.equal(one.scoring.entities.weight[:2], one.scoring.relations.weight)


@pytest.mark.parametrize("name", recipes.names())
def test_named_recipes_survive_their_file(name: str) -> None:
    recipe = recipes.recipe(name, worlds.graph(40, 3, sizes=(200, 20, 20)))
    assert read(tomllib.loads(recipe.to_toml())) == recipe


# What is wrong is named, with what is legal


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({}, ["'model' is required"]),
        ({"model": MODEL, "modell": 1}, ["unknown key 'modell'", "legal keys", "model", "objective", "train"]),
        ({"model": MODEL, "train": {"epoch": 1}}, ["'train.epoch'", "epochs", "batch_size", "inverses"]),
        ({"model": {"name": "distmul", "dim": 8}}, ["'distmul' is no model", *MODELS]),
        ({"model": {"dim": 8}}, ["None is no model", *MODELS]),
        ({"model": {"name": ["complex"], "dim": 8}}, ["is no model", *MODELS]),
        ({"model": {"name": "complex"}}, ["model", "'dim' is required"]),
        ({"model": MODEL | {"width": 3}}, ["unknown key 'width'", "legal keys here: dim"]),
        ({"model": MODEL | {"dim": "wide"}}, ["model", "dim", "integer", "'wide'"]),
        ({"model": {"name": "rotate", "dim": 7}}, ["model", "dim must be even, got 7"]),
        ({"model": MODEL, "noise": {"name": "uniform", "num": 0}}, ["noise", "must lie in [1, 10000000]"]),
        ({"model": MODEL, "noise": {"name": "uniform", "shared": "all"}}, ["shared", "'query', 'batch' or 'chunk'"]),
        ({"model": MODEL, "objective": {"name": "softmax", "label_smoothing": 1.0}}, ["label_smoothing", "[0, 1)"]),
        ({"model": MODEL, "penalty": [{"name": "n3", "wait": 1}]}, ["penalty.0", "'wait'", "legal keys here: weight"]),
        ({"model": MODEL, "optimizer": 3}, ["optimizer", "(got 3)"]),
        ({"model": MODEL, "init": {"entity": {"name": "normal", "seed": 1}}}, ["'seed'", "legal keys here: std"]),
        ({"model": MODEL, "dropout": {"entity": 1.0}}, ["dropout.entity", "less than 1"]),
        ({"model": MODEL, "train": {"epochs": 0}}, ["train.epochs", "greater than or equal to 1", "got 0"]),
        ({"model": MODEL, "validation": {"metric": "auc"}}, ["validation.metric", "'mrr'", "'auc'"]),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[0],
)
def test_errors_name_the_key_and_what_is_legal(values: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UserError) as error:
        read(values, where="my.toml")
    assert "my.toml" in str(error.value)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize("member", MEMBERS, ids="-".join)
def test_unknown_options_of_every_member_list_its_options(member: tuple[str, str]) -> None:
    values = whole(*member)
    part = found(values, member[0])
    part["no_such_option"] = 1
    with pytest.raises(UserError, match="no_such_option") as error:
        read(values)
    for key in options(*member).model_fields:
        assert key in str(error.value)


def test_files_that_are_no_toml_are_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("model = [")
    with pytest.raises(UserError, match="not a TOML file"):
        read_file(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not a TOML file"):
        read_file(path)


@pytest.mark.parametrize("dim", [0, -4])
@pytest.mark.parametrize("model", MODELS)
def test_dims_that_are_no_widths_are_refused(model: str, dim: int) -> None:
    with pytest.raises(UserError, match="dim"):
        read({"model": {"name": model, "dim": dim}})


def test_noise_that_does_not_fit_the_graph_is_an_error_for_people() -> None:
    recipe = read({"model": MODEL, "noise": {"name": "uniform", "num": 50, "replacement": False}})
    with pytest.raises(UserError, match="does not fit this graph"):
        assemble(recipe, worlds.graph())


def test_devices_that_are_not_there_are_named() -> None:
    with pytest.raises(UserError, match=r"train\.device"):
        assemble(read({"model": MODEL, "train": {"device": "abacus"}}), worlds.graph())


# Changing one setting


def test_changes_by_dotted_key() -> None:
    recipe = read({"model": MODEL, "penalty": [{"name": "n3", "weight": 0.1}]})
    changed = recipe.changed(
        **{"model.dim": 16, "train.seed": 3, "penalty.0.weight": 0.2, "init.entity.gain": 2.0, "name": "mine"}
    )
    assert (changed.model["dim"], changed.train.seed, changed.name) == (16, 3, "mine")
    assert changed.penalty == [{"name": "n3", "weight": 0.2}]
    assert changed.init.entity == {"name": "xavier_normal", "gain": 2.0}
    assert recipe == read({"model": MODEL, "penalty": [{"name": "n3", "weight": 0.1}]})
    assert recipe.changed() == recipe


def test_another_member_starts_from_its_own_defaults() -> None:
    recipe = read({"model": MODEL, "optimizer": {"name": "adagrad", "lr": 0.3, "initial": 0.1}})
    for key in ("optimizer", "optimizer.name"):
        assert recipe.changed(**{key: "adam"}) == read({"model": MODEL, "optimizer": {"name": "adam"}})


def test_another_model_keeps_the_dim() -> None:
    assert read({"model": MODEL}).changed(model="rotate").model == {"name": "rotate", "dim": 8}


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("modell.dim", 3, ["'modell'", "model", "objective"]),
        ("model.dimm", 3, ["'dimm'", "dim"]),
        ("train.epochs.more", 3, ["train.epochs.more"]),
        ("penalty.weight", 3, ["penalty.0.weight"]),
        ("penalty.7.weight", 3, ["penalty.7.weight"]),
        ("nothing", 3, ["'nothing'", "model", "objective"]),
        ("noise", "unifrom", ["'unifrom'", "all", "uniform"]),
    ],
)
def test_changes_that_mean_nothing_are_errors_for_people(key: str, value: Any, parts: list[str]) -> None:
    with pytest.raises(UserError) as error:
        read({"model": MODEL, "penalty": [{"name": "n3"}]}).changed(**{key: value})
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model.dim=256", ("model.dim", 256)),
        ("optimizer.lr = 1e-3", ("optimizer.lr", 1e-3)),
        ("train.inverses=true", ("train.inverses", True)),
        ("model=rotate", ("model", "rotate")),
        ('name="a=b"', ("name", "a=b")),
        ("name=a=b", ("name", "a=b")),
        ('penalty=[{name = "n3"}]', ("penalty", [{"name": "n3"}])),
        ("name=", ("name", "")),
    ],
)
def test_settings_are_parsed_as_toml_or_kept_as_text(text: str, expected: tuple[str, Any]) -> None:
    assert parse_setting(text) == expected


@pytest.mark.parametrize("text", ["model.dim", "=3", "  =3", ""])
def test_settings_without_a_key_or_value_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="key=value"):
        parse_setting(text)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(seed=st.integers(0, 2**31), lr=st.floats(1e-8, 10), name=NAMES)
@settings(max_examples=50, deadline=None)
def test_numbers_and_names_survive_the_file(seed: int, lr: float, name: str) -> None:
    recipe = read({"name": name, "model": MODEL, "train": {"seed": seed}, "optimizer": {"name": "adam", "lr": lr}})
    again: Recipe = read(tomllib.loads(recipe.to_toml()))
    assert again == recipe


# Parts in parts, and further terms


def test_parts_nest_in_files_and_settings(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        '[model]\nname = "distmult"\ndim = 4\n\n[noise]\nname = "best-of"\nof = 2\n\n'
        '[noise.pool]\nname = "counted"\nexponent = 0.5\npool = "seen"\n'
    )
    recipe = read_file(path)
    assert recipe.noise["pool"] == {
        **recipe.noise["pool"],
        "name": "counted",
        "exponent": 0.5,
        "pool": {"name": "seen"},
    }
    built = build("noise", recipe.noise)
    assert (built.pool, built.of) == (Counted(0.5, pool=Seen()), 2)
    swapped = recipe.changed(**{"noise.pool.name": "even", "noise.pool.pool": "everyone"})
    assert swapped.noise["pool"] == {"name": "even", "pool": {"name": "everyone"}}
    assert recipe.changed(**{"noise.pool": "targets"}).noise["pool"] == {"name": "targets"}
    assert read_file(path).to_toml() == recipe.to_toml()


def test_a_number_stands_for_a_curve() -> None:
    recipe = read({"model": {"name": "distmult", "dim": 4}, "noise": {"name": "pseudo-typed", "uniform": 0.25}})
    assert recipe.noise["uniform"] == {"name": "constant", "value": 0.25}
    curve = {"name": "ramp", "start": 0.1, "stop": 0.9}
    assert build("noise", recipe.changed(**{"noise.uniform": curve}).noise).uniform.at(10) == pytest.approx(0.5)
    with pytest.raises(UserError, match=r"share must lie in \[0, 1\], got 1.5"):
        recipe.changed(**{"noise.uniform": {**curve, "stop": 1.5}})


IMPOSSIBLE = [
    ({"name": "pseudo-typed", "shared": "batch"}, "what is drawn depends on the question"),
    ({"name": "nscaching", "correction": "refined"}, "the odds of these draws are not known"),
    ({"name": "frequency", "correction": "classic", "replacement": False}, "how often distinct draws of uneven odds"),
    ({"name": "uniform", "shared": "batch", "count": "rarer"}, "count must be"),
]


@pytest.mark.parametrize(("noise", "why"), IMPOSSIBLE, ids=str)
def test_compositions_that_mean_nothing_are_refused_with_the_reason(noise: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        read({"model": {"name": "distmult", "dim": 4}, "noise": noise})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"noise.pool.nmu": 3}, ("'nmu'", "pool")),
        ({"noise.pool.name": "nobody"}, ("'nobody'", "legal names: even, counted, targets")),
        ({"noise.pool.name": "all"}, ("'all'", "legal names: even, counted, targets")),
        ({"noise.pool.pool": "all"}, ("'all'", "legal names: everyone, seen")),
        ({"noise.of": 0}, ("of must lie in [1, 1e6], got 0",)),
    ],
    ids=str,
)
def test_errors_of_inner_parts_say_what_is_legal_there(settings: dict[str, Any], told: tuple[str, ...]) -> None:
    recipe = read({"model": {"name": "distmult", "dim": 4}, "noise": {"name": "best-of"}})
    with pytest.raises(UserError) as error:
        recipe.changed(**settings)
    assert all(words in str(error.value) for words in told), str(error.value)


def test_further_terms_are_settings_like_any_other() -> None:
    term = {"objective": {"name": "margin"}, "mutation": {"name": "mixup"}, "weight": 0.5}
    recipe = read({"model": {"name": "distmult", "dim": 4}, "terms": [term]})
    (more,) = recipe.terms
    assert (more.objective["margin"], more.mutation["concentration"], more.redraw) == (1.0, 2.0, False)
    changed = recipe.changed(**{"terms.0.weight": 2.0, "terms.0.objective.margin": 3.0, "terms.0.mutation": "mixup"})
    assert (changed.terms[0].weight, changed.terms[0].objective["margin"]) == (2.0, 3.0)
    assert read(tomllib.loads(changed.to_toml())) == changed
    for wrong, told in (({"weight": -1.0}, "terms.0.weight"), ({"wieght": 1.0}, "'terms.0.wieght'")):
        with pytest.raises(UserError) as error:
            read({"model": {"name": "distmult", "dim": 4}, "terms": [{**term, **wrong}]})
        assert told in str(error.value)
    with pytest.raises(UserError, match="objective, mutation, weight, redraw"):
        read({"model": {"name": "distmult", "dim": 4}, "terms": [{**term, "wieght": 1.0}]})


def test_the_candidates_of_a_batch_are_counted_as_its_sampler_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1 GiB free: of a pool in a noise too, and an expectation over any number of draws scores entities alone."""
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1 << 30)
    graph = load("world")
    plain = read({"model": {"name": "distmult", "dim": 4}, "train": {"batch_size": 500}})
    pool = {"name": "best-of", "of": 2, "num": 500_000}
    with pytest.raises(UserError, match="500 x 1,000,000 drawn candidates"):
        assemble(plain.changed(noise=pool), graph)
    assert assemble(plain.changed(noise={"name": "expected", "num": 1e7}), graph).sampler.everyone.shape[0] == 1
