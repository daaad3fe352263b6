"""Training is a function of the recipe: repeated, interrupted and regrouped runs end alike."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from falsum.graph.graph import BOTH_SIDES, Graph, Query, Side
from falsum.models import MODELS
from falsum.noise import Candidates, Live, Sampler
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import Recipe, read
from falsum.rows.table import Table
from falsum.seeds import generator
from falsum.training import loop
from falsum.training.job import Job
from falsum.training.loop import Diverged, Record, Trainer
from laws import worlds

GRAPH = worlds.graph(11, 3, sizes=(40, 8, 8), seed=2)


def recipe(**sections: Any) -> Recipe:
    train = {"epochs": 4, "batch_size": 9, "precision": "fp32", "device": "cpu", "seed": 7, **sections.pop("train", {})}
    validation = {"every": 2, **sections.pop("validation", {})}
    return read({"model": {"name": "complex", "dim": 6}, "train": train, "validation": validation, **sections})


UNIFORM = {"name": "uniform", "num": 4}
RAMP = {"name": "ramp", "start": 0.2, "stop": 0.8}

RECIPES = {
    "softmax over all, grouped, dropout": recipe(dropout={"entity": 0.3, "relation": 0.2}, penalty=[{"name": "n3"}]),
    "softmax over all, both sides joined": recipe(
        train={"inverses": True}, objective={"name": "softmax", "label_smoothing": 0.1}
    ),
    "drawn, row-wise adagrad": recipe(
        noise=UNIFORM, objective={"name": "negative-sampling"}, penalty=[{"name": "lp", "entity": 0.1}]
    ),
    "drawn, dense adam, warm-up": recipe(
        noise=UNIFORM | {"shared": "batch", "filtered": True},
        objective={"name": "margin"},
        optimizer={"name": "adam", "lr": 0.05},
        schedule={"name": "linear", "epochs": 6, "warmup": 3},
    ),
    "tucker with its dropouts and batch norms": recipe(
        model={"name": "tucker", "dim": 6, "relation_dim": 4},
        objective={"name": "bce", "label_smoothing": 0.1},
        optimizer={"name": "adam", "lr": 0.01},
        train={"inverses": True, "batch_size": 20},
    ),
    "self-adversarial rotate, lazy adam, plateau": recipe(
        model={"name": "rotate", "dim": 6},
        objective={"name": "self-adversarial", "offset": 6.0},
        noise=UNIFORM | {"shared": "chunk", "chunk": 4},
        optimizer={"name": "adam", "lr": 0.1, "lazy": True},
        schedule={"name": "plateau", "patience": 0, "decay": 0.5},
        validation={"every": 1, "queries": 5},
    ),
    "caches, a learned temperature": recipe(
        noise={"name": "nscaching", "num": 4, "cache": 5, "fresh": 4},
        objective={"name": "infonce", "temperature": 0.5, "temperature_lr": 0.05},
        model={"name": "transd", "dim": 6},
    ),
    "best of three, three terms": recipe(
        noise={
            "name": "best-of",
            "of": 3,
            "num": 4,
            "pool": {"name": "mixture", "share": {"name": "ramp", "start": 0.2, "stop": 0.8}},
        },
        objective={"name": "negative-sampling"},
        terms=[
            {"objective": {"name": "infonce", "temperature_lr": 0.01}, "mutation": {"name": "mixup"}, "redraw": True},
            {"objective": {"name": "bce"}, "weight": 0.3},
        ],
        dropout={"entity": 0.2},
    ),
    "grouped draws, both sides of a triple together": recipe(
        noise=UNIFORM | {"shared": "batch"}, train={"inverses": True, "order": "together"}
    ),
    "together without inverses, hyperplanes": recipe(
        model={"name": "transh", "dim": 6}, train={"order": "together"}, objective={"name": "margin"}, noise=UNIFORM
    ),
    "sgd with a table penalty": recipe(
        noise=UNIFORM, optimizer={"name": "sgd"}, penalty=[{"name": "table-lp", "entity": 0.01, "relation": 0.1}]
    ),
}


def timeless(record: Record) -> dict[str, Any]:
    """A record but for the times."""
    return {
        k: v
        for k, v in dataclasses.asdict(record).items()
        if k not in ("seconds", "step_seconds", "triples_per_second")
    }


def tensors(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.state()[0].items()}


def run(settings: Recipe, graph: Graph = GRAPH) -> tuple[Trainer, list[dict[str, Any]]]:
    trainer = Trainer(assemble(settings, graph))
    return trainer, [timeless(record) for record in trainer.run()]


class Watched(Sampler):
    """A sampler that tells of every draw before it is made."""

    def __init__(self, real: Sampler, tell: Callable[[Query, int], None]) -> None:
        super().__init__()
        self.real, self.tell = real, tell

    def num(self, query: Query) -> int:
        return self.real.num(query)

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        self.tell(query, seed)
        return self.real.draw(query, seed, live)

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        return self.real.learn(query, drawn, live, seed)


def watched(job: Job, tell: Callable[[Query, int], None]) -> Trainer:
    return Trainer(dataclasses.replace(job, sampler=Watched(job.sampler, tell)))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name


@cache
def undisturbed(name: str) -> tuple[Trainer, list[dict[str, Any]]]:
    return run(RECIPES[name])


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_recipe_ends_at_the_same_bits(name: str) -> None:
    (one, first), (two, second) = undisturbed(name), run(RECIPES[name])
    same(tensors(one), tensors(two))
    assert first == second
    other, _ = run(RECIPES[name].changed(**{"train.seed": 8}))
    assert not torch.equal(tensors(one)["weights.entities"], tensors(other)["weights.entities"])


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_at_any_record_a_run_goes_on_to_the_same_bits(name: str) -> None:
    """Inside an epoch, at its end, before and after a validation, and when all is done."""
    whole, records = undisturbed(name)
    validated = [i + 1 for i, record in enumerate(records) if record["metrics"]]
    first, before = Trainer(assemble(RECIPES[name], GRAPH)), []
    going = first.run()
    for stop in sorted({0, 1, len(records) // 3, len(records) // 2, *validated}):
        before += [timeless(record) for record in itertools.islice(going, stop - len(before))]
        saved, scalars = first.state()
        saved = {key: value.clone() for key, value in saved.items()}
        torch.manual_seed(stop)  # nothing rests on the global generator
        second = Trainer(assemble(RECIPES[name], GRAPH))
        second.restore(saved, scalars)
        after = [timeless(record) for record in second.run()]
        same(tensors(whole), tensors(second))
        assert before + after == records
        assert second.position.history == whole.position.history


def test_the_comparison_of_runs_can_fail() -> None:
    """A run that forgets one scalar of its position does not end alike."""
    settings = RECIPES["softmax over all, grouped, dropout"]
    whole, _ = run(settings)
    first = Trainer(assemble(settings, GRAPH))
    list(itertools.islice(first.run(), 3))
    second = Trainer(assemble(settings, GRAPH))
    second.restore(first.state()[0], {**first.state()[1], "step": 2})
    for _ in second.run():
        pass
    with pytest.raises(AssertionError):
        same(tensors(whole), tensors(second))


@pytest.mark.parametrize(
    "objective",
    [("softmax", {}), ("softmax", {"label_smoothing": 0.2}), ("negative-sampling", {}), ("bce", {})],
    ids=worlds.label,
)
@pytest.mark.parametrize("inverses", [False, True])
def test_the_recorded_loss_is_the_oracles_mean_over_triples_and_sides(
    objective: tuple[str, dict], inverses: bool
) -> None:
    """One batch that is the whole graph, at the first weights; grouped or not."""
    for grouped in (True, False):
        settings = recipe(
            objective={"name": objective[0], **objective[1]},
            train={"batch_size": 100, "epochs": 1, "grouped": grouped, "inverses": inverses},
            init={"entity": {"name": "normal"}, "relation": {"name": "normal"}},
        )
        job = assemble(settings, GRAPH)
        truth, values = worlds.Oracle("complex", job.scoring), []
        for side in BOTH_SIDES:
            query = job.graph.queries(GRAPH.splits["train"], side, grouped=objective[0] == "bce")
            values += truth.loss(objective, query, Candidates(range(GRAPH.num_entities)))
        record = next(Trainer(job).run())
        assert len(values) == 2 * len(GRAPH.splits["train"])
        assert record.loss == pytest.approx(sum(values) / len(values), rel=1e-5)


@pytest.mark.parametrize("copies", [0, 2])
@pytest.mark.parametrize("objective", ["softmax", "negative-sampling"])
@pytest.mark.parametrize("inverses", [False, True])
def test_grouping_and_joining_change_the_cost_and_not_the_step(objective: str, inverses: bool, copies: int) -> None:
    """Also where triples stand more than once: a repeated target is no rival of itself."""
    train = GRAPH.splits["train"]
    graph = dataclasses.replace(GRAPH, splits={**GRAPH.splits, "train": torch.cat([train, *[train[:3]] * copies])})
    ends = []
    for grouped in (True, False):
        settings = recipe(
            objective={"name": objective},
            optimizer={"name": "sgd", "lr": 0.5},
            train={"batch_size": 100, "epochs": 3, "grouped": grouped, "inverses": inverses},
        )
        trainer, records = run(settings, graph)
        ends.append((trainer, records[-1]["loss"]))
    assert ends[0][1] == pytest.approx(ends[1][1], rel=1e-5)
    for name, weight in tensors(ends[0][0]).items():
        torch.testing.assert_close(weight, tensors(ends[1][0])[name], rtol=1e-4, atol=1e-5)


def test_row_wise_and_dense_updates_train_alike() -> None:
    settings = RECIPES["drawn, row-wise adagrad"]
    job = assemble(settings, GRAPH)
    assert job.row_wise
    tables = {}
    for name, table in (("entities", job.scoring.entities), ("relations", job.scoring.relations)):
        tables[name] = Table(table.num, table.width)
        tables[name].values.copy_(table.values)
    dense = Trainer(dataclasses.replace(job, scoring=dataclasses.replace(job.scoring, **tables)))
    for _ in dense.run():
        pass
    rows, _ = run(settings)
    for name in ("weights.entities", "weights.relations"):
        torch.testing.assert_close(tensors(rows)[name], tensors(dense)[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_every_step_sees_each_triple_once_an_epoch(name: str) -> None:
    job = assemble(RECIPES[name], GRAPH)
    asked: list[tuple[int, ...]] = []

    def tell(query: Query, seed: int) -> None:
        row = query.row
        for anchor, relation, target in zip(query.anchor[row], query.relation[row], query.target, strict=True):
            asked.append((int(anchor), int(relation), int(target), query.side.value, query.slot.value))

    for record in watched(job, tell).run():
        if record.epoch == 1:
            break
    expected = []
    draws = 1 + sum(term.redraw for term in job.terms)
    for side in BOTH_SIDES:
        query = job.graph.queries(GRAPH.splits["train"], side, grouped=False)
        slot = BOTH_SIDES[0] if job.joined else side
        for anchor, relation, target in zip(query.anchor, query.relation, query.target, strict=True):
            expected.append((int(anchor), int(relation), int(target), query.side.value, slot.value))
    assert sorted(asked) == sorted(expected * draws)


@pytest.mark.parametrize("model", MODELS)
def test_batches_of_one_triple_train(model: str) -> None:
    """Grouped queries of a side are then fewer than the steps, so that some batches of it are empty."""
    part = {"name": model, "dim": 4}
    settings = recipe(model=part, train={"batch_size": 1, "epochs": 1}, validation={"every": 0})
    _, records = run(settings, worlds.graph(5, 2, sizes=(12, 2, 2)))
    assert records[-1]["step"] == 12


def test_training_learns_what_it_is_given() -> None:
    """Forty random triples are learnt by heart: nearly every answer first, where chance puts one in eleven."""
    learnt = Graph("learnt", {**GRAPH.splits, "valid": GRAPH.splits["train"]}, GRAPH.entities, GRAPH.relations, 3)
    settings = recipe(
        model={"name": "complex", "dim": 64}, train={"epochs": 60}, optimizer={"name": "adagrad", "lr": 0.5}
    )
    _, records = run(settings, learnt)
    assert [r for r in records if r["metrics"]][-1]["metrics"]["hits@1"] > 0.95


def test_every_step_and_batch_has_its_own_randomness() -> None:
    """Draws, masks and the order of triples: with weights that stay, each step's loss is another."""
    settings = RECIPES["drawn, row-wise adagrad"]
    seeds = []
    job = assemble(settings, GRAPH)
    last = list(watched(job, lambda query, seed: seeds.append(seed)).run())[-1]
    assert len(seeds) == len(set(seeds)) == 2 * last.step
    masked = recipe(
        train={"batch_size": 100, "epochs": 6},
        validation={"every": 0},
        dropout={"entity": 0.5},
        optimizer={"name": "sgd", "lr": 1e-30},
        init={"entity": {"name": "normal"}, "relation": {"name": "normal"}},
    )
    losses = [record["loss"] for record in run(masked)[1] if not record["done"]]
    assert len(set(losses)) == len(losses) == 6
    plain = masked.changed(**{"dropout.entity": 0.0})
    assert len({round(record["loss"], 5) for record in run(plain)[1]}) == 1
    batches = []
    job = assemble(plain.changed(**{"train.batch_size": 20}), GRAPH)
    for _ in watched(job, lambda query, seed: batches.append(query.anchor.tolist())).run():
        pass
    firsts = batches[:: 2 * 2]  # two steps an epoch, two sides a step
    assert len(firsts) == 6
    assert len(set(map(tuple, firsts))) == 6


def test_together_asks_both_questions_of_a_triple_in_one_step() -> None:
    """Apart, a step holds other triples' head questions than tail questions."""
    for order, inverses in itertools.product(("together", "apart"), (False, True)):
        settings = recipe(train={"order": order, "inverses": inverses, "grouped": False}, noise=UNIFORM)
        job, steps = assemble(settings, GRAPH), []

        def tell(query: Query, seed: int) -> None:
            ends = (query.anchor[query.row], query.target)
            head, tail = ends if query.slot is Side.TAIL else ends[::-1]
            relation = query.relation[query.row] % GRAPH.num_base_relations
            steps.append(set(zip(head.tolist(), relation.tolist(), tail.tolist(), strict=True)))  # noqa: B023

        list(watched(job, tell).run())
        pairs = list(zip(steps[::2], steps[1::2], strict=True))
        assert all(tails == heads for tails, heads in pairs) == (order == "together")


def test_a_step_minimises_the_weighted_sum_of_its_terms() -> None:
    """Two terms with weights 1 and 0.5, one mutated: the recorded loss is the sum of what each gives alone."""
    common = {"noise": UNIFORM, "train": {"batch_size": 100, "epochs": 1}, "dropout": {"entity": 0.3}}
    common["init"] = {"entity": {"name": "normal"}, "relation": {"name": "normal"}}
    first = {"objective": {"name": "margin"}}
    second = {"objective": {"name": "infonce", "temperature": 0.7}, "mutation": {"name": "mixup", "concentration": 1.0}}

    def first_loss(**parts: Any) -> float:
        return next(Trainer(assemble(recipe(**common, **parts), GRAPH)).run()).loss

    both = first_loss(**first, terms=[{**second, "weight": 0.5}])
    assert both == pytest.approx(first_loss(**first) + 0.5 * first_loss(**second), rel=1e-5)
    redrawn = first_loss(**first, terms=[{**second, "weight": 0.5, "redraw": True}])
    assert redrawn != pytest.approx(both, rel=1e-4)


def test_a_learned_temperature_is_told_moves_by_its_own_rate_and_stays_in_no_model() -> None:
    settings = RECIPES["caches, a learned temperature"]
    trainer, records = run(settings)
    seen = [record["learned"]["temperature"] for record in records]
    assert seen[0] == pytest.approx(0.5, rel=0.06)  # Adam's first step changes log T by its learning rate
    assert len(set(seen)) > 5
    assert all(value > 0 for value in seen)
    still, _ = run(settings.changed(**{"objective.temperature_lr": 0.0}))
    assert not still.learned[0].held
    names = trainer.state()[0]
    assert {"objective.0.temperature", "noise.proposer.tail", "noise.proposer.head"} <= set(names)
    assert not any(name.startswith(("noise", "objective")) for name in trainer.job.scoring.tensors())


class Generator(Sampler):
    """A proposal with parameters of its own: one logit per entity, taught to draw what scores high."""

    lr = 0.1

    def __init__(self, num_entities: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_entities))

    def num(self, query: Query) -> int:
        return 4

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        share = self.logits.detach().softmax(0)
        ids = torch.multinomial(share, 4, replacement=True, generator=generator(seed))
        return Candidates(ids[None])

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor:
        reward = live.score(query, drawn.ids).mean(0)
        return -(reward * self.logits.log_softmax(0)[drawn.ids[0]]).mean()


def test_a_sampler_with_parameters_is_trained_and_resumed() -> None:
    def start() -> Trainer:
        job = assemble(recipe(noise=UNIFORM, objective={"name": "margin"}), GRAPH)
        return Trainer(dataclasses.replace(job, sampler=Generator(GRAPH.num_entities)))

    whole, first, second = start(), start(), start()
    list(whole.run())
    list(itertools.islice(first.run(), 7))
    saved, scalars = first.state()
    second.restore({key: value.clone() for key, value in saved.items()}, scalars)
    list(second.run())
    same(tensors(whole), tensors(second))
    assert whole.job.sampler.logits.abs().max() > 0.1


# Validation, stopping, divergence


def test_validation_comes_when_it_is_due_and_marks_the_best() -> None:
    _, records = run(recipe(train={"epochs": 5}, validation={"every": 2}))
    validated = [r for r in records if r["metrics"]]
    assert [r["epoch"] for r in validated] == [2, 4, 5]
    best = 0.0
    for record in validated:
        assert record["best"] == (record["metrics"]["mrr"] > best)
        best = max(best, record["metrics"]["mrr"])
    assert records[-1]["done"] == "all 5 epochs done"
    assert not any(r["metrics"] for r in run(recipe(validation={"every": 0}))[1])


@pytest.mark.parametrize(
    ("epochs", "times", "due"), [(7, 3, [3, 5, 7]), (8, 4, [2, 4, 6, 8]), (3, 10, [1, 2, 3]), (5, 1, [5])]
)
def test_validations_at_equal_shares_of_the_training(epochs: int, times: int, due: list[int]) -> None:
    _, records = run(recipe(train={"epochs": epochs}, validation={"times": times, "patience": 0}))
    assert [r["epoch"] for r in records if r["metrics"]] == due


def test_training_ends_with_its_seconds_and_validations_cost_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step takes 1 s and every ranking 100 s by the clock of the loop; an epoch has 5 steps."""
    now = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    settings = recipe(train={"epochs": 99, "seconds": 18}, validation={"times": 2, "patience": 0})
    trainer = Trainer(assemble(settings, GRAPH), rank_progress=lambda done: now.__setitem__(0, now[0] + 50))
    step = trainer.step
    monkeypatch.setattr(trainer, "step", lambda: (now.__setitem__(0, now[0] + 1), step())[1])
    records = list(trainer.run())
    assert [r.epoch for r in records if r.metrics] == [2, 4], "18 s end within epoch 4, which is finished"
    assert (records[-1].step_seconds, records[-1].done) == (20, "18 s of training are over")
    assert records[-1].seconds == 220, "with two validations, each a call of rank_progress per side"


def test_training_stops_when_nothing_gets_better() -> None:
    """With a learning rate that moves nothing the first validation stays the best."""
    still = {"optimizer": {"name": "sgd", "lr": 1e-30}}
    _, records = run(recipe(**still, train={"epochs": 50}, validation={"every": 1, "patience": 3}))
    assert records[-1]["epoch"] == 4
    assert "no better validation mrr in 3" in records[-1]["done"]
    _, records = run(recipe(**still, train={"epochs": 9}, validation={"every": 1, "patience": 0}))
    assert records[-1]["epoch"] == 9
    below = {"every": 1, "patience": 0, "floor": 1.1, "floor_epochs": 5}
    _, records = run(recipe(**still, train={"epochs": 50}, validation=below))
    assert records[-1]["epoch"] == 6
    assert "stayed below 1.1" in records[-1]["done"]


def test_validation_ranks_a_fixed_sample_on_request() -> None:
    trainer, _ = run(recipe(validation={"every": 1, "queries": 3}, optimizer={"name": "sgd", "lr": 1e-30}))
    assert len(set(trainer.position.history)) == 1


def test_a_loss_that_explodes_ends_the_run_with_advice() -> None:
    settings = recipe(optimizer={"name": "sgd", "lr": 1e30}, objective={"name": "negative-sampling"})
    with pytest.raises(Diverged, match=r"lower optimizer\.lr"):
        run(settings)
