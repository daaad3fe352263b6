"""Weights of triples and of their rivals, on the way from the recipe to the loss; weights that ask a model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

import falsum
from falsum.errors import UserError
from falsum.graph.graph import BOTH_SIDES, Graph, Query, Side, joined
from falsum.graph.weighting import ERDNS, TANS, WEIGHTINGS, ModelBased, Subsampling
from falsum.noise import Live
from falsum.objectives import OBJECTIVES
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import read
from falsum.run.trained import opener
from falsum.scan.loss import live, loss
from falsum.training.batches import Batches
from falsum.training.loop import Trainer
from laws import worlds

GRAPH = worlds.graph()
NEEDS = {"model-based": {"source": "run"}}


def view(score: Callable[[Query, torch.Tensor], torch.Tensor]) -> Live:
    """A model whose scores are made up."""
    return Live(score, rows=lambda ids: ids, against=lambda query, rows: rows.sum(-1), epoch=0.0)


def recipe(**parts: Any) -> Any:
    return read({"model": {"name": "distmult", "dim": 4}, "train": {"batch_size": 5, "device": "cpu"}} | parts)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weights_are_positive_and_of_mean_one(name: str) -> None:
    """Those of backward correction keep the total of every question instead."""
    asked = worlds.live(GRAPH)
    built = WEIGHTINGS[name](**NEEDS.get(name, {}))
    for side in BOTH_SIDES:
        for weight in (built(GRAPH, side, lambda source: asked), built.rivals(GRAPH, side, lambda source: asked)):
            if weight is not None:
                assert (weight > 0).all()
                assert weight.dtype == torch.float64
                assert weight.mean().item() == pytest.approx(1, rel=1e-9)


SEPARABLE = [o for o in worlds.objectives() if worlds.make_objective(o).separable]


@pytest.mark.parametrize("objective", SEPARABLE, ids=worlds.label)
@pytest.mark.parametrize("noise", [("all", {}), ("uniform", {"num": 3, "shared": "batch"})], ids=worlds.label)
def test_rivals_count_as_their_weight_says(objective: tuple[str, dict], noise: tuple[str, dict]) -> None:
    """loss = (part of the target) + mass (part of the rivals): linear in the mass, for grouped questions too."""
    built, parts = worlds.make_objective(objective), worlds.scoring("distmult", GRAPH)
    for grouped in {worlds.grouped(built), True}:
        query = GRAPH.queries(GRAPH.splits["train"], Side.TAIL, grouped=grouped)
        weight = torch.linspace(0.5, 2, len(query.target), dtype=torch.float64)
        rivals = torch.linspace(3, 0.2, len(query.target), dtype=torch.float64)
        query, drawn = replace(query, weight=weight), worlds.draw(noise, GRAPH, query, 1)
        with torch.no_grad():
            plain, none, own = (
                loss(parts, built, replace(query, rival_weight=by), drawn, 0)
                for by in (None, torch.zeros_like(rivals), rivals)
            )
            same = loss(parts, built, replace(query, rival_weight=weight), drawn, 0)
        torch.testing.assert_close(plain, same)
        torch.testing.assert_close(own, none + rivals / weight * (plain - none))
        assert (plain - none).abs().max() > 1e-4


def test_weights_of_rivals_follow_their_targets() -> None:
    triples = torch.cat([GRAPH.splits["train"], GRAPH.splits["train"][:3]])
    own, rivals = torch.rand(len(triples)), torch.rand(len(triples))
    for grouped in (False, True):
        query = GRAPH.queries(triples, Side.TAIL, grouped=grouped, weight=own, rival_weight=rivals)
        other = GRAPH.queries(triples, Side.TAIL, grouped=grouped, weight=rivals)
        torch.testing.assert_close(query.rival_weight, other.weight)
        picked = torch.tensor([3, 0])
        torch.testing.assert_close(query.select(picked).rival_weight, other.select(picked).weight)
        torch.testing.assert_close(query.to("cpu").rival_weight, other.weight)
        both = joined([query, query])
        torch.testing.assert_close(both.rival_weight, other.weight.repeat(2))
        with pytest.raises(ValueError, match="with and without"):
            joined([query, other])


@pytest.mark.parametrize("order", ["apart", "together"])
def test_batches_hold_both_weights(order: str) -> None:
    job = assemble(
        recipe(
            weighting={"name": "subsampling", "variant": "freq"},
            objective={"name": "negative-sampling"},
            train={"order": order, "batch_size": 5, "inverses": True},
        ),
        GRAPH,
    )
    total = {"weight": 0.0, "rival_weight": 0.0}
    batches = Batches(job)
    for inside in range(batches.per_epoch):
        for batch in batches.at(0, inside):
            for name in total:
                total[name] += float(getattr(batch, name).sum())
    assert total == pytest.approx({"weight": 24, "rival_weight": 24}, rel=1e-5)


def test_two_weights_need_a_loss_of_two_parts() -> None:
    for name in OBJECTIVES:
        settings = recipe(weighting={"name": "erdns"}, objective={"name": name}, noise={"name": "uniform", "num": 3})
        if OBJECTIVES[name].separable:
            assemble(settings, GRAPH)
        else:
            with pytest.raises(UserError, match=f"'erdns'.*'{name}'.*negative-sampling, self-adversarial"):
                assemble(settings, GRAPH)
    term = {"objective": {"name": "softmax"}}
    with pytest.raises(UserError, match="softmax"):
        assemble(recipe(weighting={"name": "erdns"}, objective={"name": "focal"}, terms=[term]), GRAPH)


def test_parts_in_a_weighting_are_parts() -> None:
    settings = recipe(weighting={"name": "tans", "counts": {"name": "subsampling", "variant": "uniq"}})
    assert assemble(settings, GRAPH).weighting == TANS(counts=Subsampling("uniq"))
    assert settings.changed(**{"weighting.counts.exponent": 1.0}).weighting["counts"]["exponent"] == 1.0
    assert ModelBased("run", counts=ERDNS()).separates


# The present model


@pytest.mark.parametrize("temperature", [-0.5, 0.0, 1.5])
def test_tans_by_hand(temperature: float) -> None:
    """Questions (0, 0), twice as rows of their own, and (1, 0): the answers score ln 2, ln 3, ln 4."""
    query = Query(
        torch.tensor([0, 1, 0]), torch.zeros(3).long(), torch.tensor([2, 4, 3]), torch.arange(3), torch.ones(3),
        Side.TAIL, Side.TAIL, torch.tensor([1.0, 2.0, 3.0]),
    )  # fmt: skip
    asked = view(lambda query, ids: ids.expand(len(query), -1).double().log())
    now = TANS(temperature).now(query, asked)
    factors = torch.tensor([5.0, 4.0, 5.0]) ** temperature
    torch.testing.assert_close(now.weight, 3 * factors / factors.sum())
    torch.testing.assert_close(now.rival_weight, query.rival_weight * factors * 6 / (query.rival_weight @ factors))
    grouped = Query(
        torch.tensor([0, 1]), torch.zeros(2).long(), torch.tensor([2, 3, 4]), torch.tensor([0, 0, 1]), torch.ones(3),
        Side.TAIL, Side.TAIL,
    )  # fmt: skip
    torch.testing.assert_close(TANS(temperature).now(grouped, asked).weight, now.weight[[0, 2, 1]])
    huge = view(lambda query, ids: 1e4 * ids.expand(len(query), -1).double())
    assert torch.isfinite(TANS(temperature).now(query, huge).weight).all()


def test_tans_weighs_every_step_by_the_model_of_that_step() -> None:
    losses = []
    for weighting in ({"name": "equal"}, {"name": "tans", "temperature": -2.0}, {"name": "tans", "temperature": 0.0}):
        trainer = Trainer(assemble(recipe(weighting=weighting, objective={"name": "focal"}), GRAPH))
        losses.append([trainer.step() for _ in range(6)])
    assert losses[0] == pytest.approx(losses[2], rel=1e-5)
    assert max(abs(a - b) for a, b in zip(losses[0], losses[1], strict=True)) > 1e-4


# Frozen models


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Runs of a model without and with inverse relations."""
    runs = {}
    for inverses in (False, True):
        runs[inverses] = tmp_path_factory.mktemp("runs") / str(inverses)
        settings = recipe(model={"name": "complex", "dim": 4}, train={"inverses": inverses, "epochs": 1})
        falsum.train(GRAPH, settings, folder=runs[inverses])
    return runs


@pytest.mark.parametrize("inverses", [False, True])
@pytest.mark.parametrize("own", [GRAPH, GRAPH.with_inverses()], ids=["plain", "inverses"])
def test_a_frozen_run_answers_as_the_run(trained_run: dict[bool, Path], inverses: bool, own: Graph) -> None:
    """About a graph whose labels stand in another order, with or without inverses, both sides also in one batch."""
    run = falsum.Run.open(trained_run[inverses])
    order = torch.tensor([3, 0, 6, 1, 2, 5, 4])  # new id -> old id
    back = torch.argsort(order)
    splits = {name: torch.stack([back[t[:, 0]], 1 - t[:, 1], back[t[:, 2]]], 1) for name, t in own.splits.items()}
    plain = Graph("moved", splits, GRAPH.entities.gather(order.tolist()), GRAPH.relations.reverse(), 2)
    moved = plain.with_inverses() if own.has_inverses else plain
    asked = opener(plain)(str(trained_run[inverses]))
    batches = [moved.queries(moved.splits["train"], side, grouped=False) for side in BOTH_SIDES]
    batches = [joined(batches)] if own.has_inverses else batches
    found = torch.cat([asked.score(batch, torch.arange(7)[None]) for batch in batches])
    expected = []
    source = GRAPH.with_inverses() if inverses else GRAPH
    for side in BOTH_SIDES:
        query = source.queries(source.splits["train"], side, grouped=False)
        expected.append(live(run.scoring, 0.0).score(query, order[None]))
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(asked.rows(torch.arange(7)), run.scoring.entities.values[order])
    single = batches[0].select(torch.tensor([1, 4]))
    own_ids = asked.score(single, torch.tensor([[0, 1], [5, 6]]))
    torch.testing.assert_close(own_ids, torch.stack([found[1, :2], found[4, 5:]]))


def test_model_based_weights_train_from_a_run(trained_run: dict[bool, Path], tmp_path: Path) -> None:
    source = str(trained_run[True])
    settings = recipe(
        weighting={"name": "model-based", "source": source, "variant": "freq"},
        objective={"name": "self-adversarial"},
        noise={"name": "uniform", "num": 3},
        train={"epochs": 1, "batch_size": 5},
    )
    run = falsum.train(GRAPH, settings, folder=tmp_path / "run")
    assert run.finished
    weight = ModelBased(source)(GRAPH, Side.TAIL, opener(GRAPH))
    query = GRAPH.queries(GRAPH.splits["train"], Side.TAIL, grouped=False)
    scores = opener(GRAPH)(source).score(query, query.target[:, None]).flatten().tolist()
    triples = GRAPH.splits["train"].tolist()
    amounts = [
        sum(
            math.exp(s) * ((h == a and r == b) + (t == c and r == b))
            for s, (h, r, t) in zip(scores, triples, strict=True)
        )
        for a, b, c in triples
    ]
    expected = torch.tensor(amounts, dtype=torch.float64) ** -0.5
    torch.testing.assert_close(weight, expected / expected.mean(), rtol=1e-5, atol=1e-6)


def test_a_source_that_cannot_be_read_is_refused_before_a_folder_exists(
    trained_run: dict[bool, Path], tmp_path: Path
) -> None:
    weighting = {"name": "tans", "counts": {"name": "model-based", "source": str(tmp_path / "nothing")}}
    with pytest.raises(UserError, match="no run folder"):
        falsum.train(GRAPH, recipe(weighting=weighting), folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    larger = worlds.graph(num_entities=9)
    with pytest.raises(UserError, match="does not know 2 of the 9 entities of the graph, such as 'e7', 'e8'"):
        opener(larger)(str(trained_run[False]))
    named = replace(GRAPH, relations=pl.Series(["r0", "likes"]))
    with pytest.raises(UserError, match="1 of the 2 relations of the graph, such as 'likes'"):
        opener(named)(str(trained_run[True]))
    job = assemble(recipe(weighting={"name": "model-based", "source": "somewhere"}), GRAPH)
    with pytest.raises(UserError, match=r"somewhere.*nothing here opens run folders"):
        Batches(job)
