"""A run that starts from another: rows by label, everything else afresh; chains train in order and resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from command import QUICK, SETS, Command, facts, falsum, small_graph, write_graph
from falsum import api
from falsum.errors import UserError
from falsum.files import read_tensors
from falsum.report.summary import recipe_facts
from falsum.run.run import Run

__all__ = ["falsum"]

RELATED = QUICK | {"train.inverses": True}


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_graph(tmp_path_factory.mktemp("graphs") / "small")


@pytest.fixture(scope="module")
def source(graph: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return api.train(str(graph), "default", folder=tmp_path_factory.mktemp("runs") / "source", **RELATED)


def start_of(run: Run) -> dict[str, torch.Tensor]:
    return read_tensors(run.folder / "start.safetensors")[0]


def rows(run: Run, tensors: dict[str, torch.Tensor], table: str) -> dict[str, list[float]]:
    graph = run.graph.with_inverses()
    labels = graph.entities if table == "entities" else graph.relations
    return dict(zip(labels.to_list(), tensors[table].tolist(), strict=True))


def test_a_run_starts_from_the_best_weights_and_a_fresh_optimizer(graph: Path, source: Run, tmp_path: Path) -> None:
    settings = RELATED | {"pretraining.source": str(source.folder), "optimizer.lr": 1e-12}
    run = api.train(str(graph), "default", folder=tmp_path / "run", **settings)
    best, _ = read_tensors(source.folder / "model.safetensors")
    start = start_of(run)
    assert start.keys() == best.keys()
    assert all(torch.equal(start[name], best[name]) for name in best)
    # With such a learning rate the first validation is that of the source's best weights.
    assert run.history()[1]["metrics"]["mrr"] == pytest.approx(max(_mrrs(source)), abs=1e-9)
    assert run.history()[0]["epoch"] == 1


def _mrrs(run: Run) -> list[float]:
    return [line["metrics"]["mrr"] for line in run.history() if line.get("metrics")]


def test_rows_go_by_label_and_others_keep_their_initial_values(source: Run, tmp_path: Path) -> None:
    """A graph with ten of the entities, one of the relations, and labels of its own, in another order."""
    known = [(f"e{i}", "r1", f"e{i + 1}") for i in range(9, -1, -1)]
    other = write_graph(tmp_path / "graph", train=[("new", "own", "e3"), *known], valid=known[:2])
    settings = RELATED | {"train.epochs": 1, "pretraining.source": str(source.folder)}
    run = api.train(str(other), "default", folder=tmp_path / "run", **settings)
    best, _ = read_tensors(source.folder / "model.safetensors")
    for table, shared in (("entities", {f"e{i}" for i in range(11)}), ("relations", {"r1", "r1 (inverse)"})):
        theirs, ours = rows(source, best, table), rows(run, start_of(run), table)
        assert {label for label in ours if ours[label] == theirs.get(label)} == shared


def test_inverse_relations_can_be_left_out(graph: Path, source: Run, tmp_path: Path) -> None:
    settings = RELATED | {"train.epochs": 1, "pretraining.source": str(source.folder), "pretraining.inverses": False}
    run = api.train(str(graph), "default", folder=tmp_path / "run", **settings)
    best, _ = read_tensors(source.folder / "model.safetensors")
    theirs, ours = rows(source, best, "relations"), rows(run, start_of(run), "relations")
    assert {label for label in ours if ours[label] == theirs[label]} == {"r0", "r1", "r2"}


def test_parts(graph: Path, tmp_path: Path) -> None:
    tucker = QUICK | {"model": "tucker3"}
    source = api.train(str(graph), "default", folder=tmp_path / "source", **tucker | {"penalty": []})
    best, _ = read_tensors(source.folder / "model.safetensors")
    for parts in ("all", "rows"):
        settings = tucker | {"penalty": [], "pretraining.source": str(source.folder), "pretraining.parts": parts}
        run = api.train(str(graph), "default", folder=tmp_path / parts, **settings | {"train.seed": 1})
        assert torch.equal(start_of(run)["entities"], best["entities"])
        assert torch.equal(start_of(run)["model.core"], best["model.core"]) == (parts == "all")


def test_a_chain_is_one_recipe_and_resumes(falsum: Command, graph: Path, source: Run, tmp_path: Path) -> None:
    loaded = api.load(str(graph))
    first = api.recipe("default", loaded, **RELATED)
    chain = first.changed(**{"pretraining": {"source": first.model_dump()}, "train.seed": 1})
    path = tmp_path / "chain.toml"
    path.write_text(chain.to_toml())
    assert api.recipe(path, loaded) == chain
    assert ("starts from", "recipe default") in recipe_facts(chain)
    assert "starts from" not in dict(recipe_facts(first))
    assert chain.changed(**{"pretraining.source": "elsewhere"}).pretraining.source == "elsewhere"
    said = falsum.ok("train", graph, "--recipe", path, "--run", tmp_path / "run")
    assert f"pre-training in {tmp_path / 'run' / 'pretraining'}" in said
    whole = Run.open(tmp_path / "run")
    inside = Run.open(tmp_path / "run" / "pretraining")
    assert inside.finished
    assert inside.recipe.pretraining is None
    assert torch.equal(start_of(whole)["entities"], read_tensors(source.folder / "model.safetensors")[0]["entities"])

    broken = Run.create(loaded, chain, tmp_path / "broken")
    broken.stages()
    with pytest.raises(UserError, match="not trained yet"):
        next(broken.train())
    for stage in broken.stages():
        for record in stage.train():
            if record.step == 2:
                break
        break
    falsum.ok("resume", broken.folder)
    for name in ("model.safetensors", "start.safetensors", "pretraining/model.safetensors"):
        ours, theirs = (read_tensors(run.folder / name)[0] for run in (broken, whole))
        assert all(torch.equal(ours[k], theirs[k]) for k in theirs), name


def test_from_on_the_command_line(falsum: Command, graph: Path, source: Run, tmp_path: Path) -> None:
    given = [*SETS, "--set", "train.inverses=true"]
    falsum.ok("train", graph, "--from", source.folder, "--run", tmp_path / "a", *given)
    falsum.ok("train", graph, "--set", f"pretraining.source={source.folder}", "--run", tmp_path / "b", *given)
    assert Run.open(tmp_path / "a").recipe == Run.open(tmp_path / "b").recipe
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_the_source_may_be_gone_after_the_start(falsum: Command, graph: Path, source: Run, tmp_path: Path) -> None:
    other = api.train(str(graph), "default", folder=tmp_path / "source", **QUICK)
    loaded = api.load(str(graph))
    recipe = api.recipe("default", loaded, **QUICK | {"pretraining.source": str(other.folder)})
    run = Run.create(loaded, recipe, tmp_path / "run")
    other.folder.rename(tmp_path / "elsewhere")
    falsum.ok("resume", run.folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model.dim": 4}, "rows of 8 numbers, this recipe has rows of 4"),
        ({"model": "tucker3", "penalty": []}, r"no model.core of shape \[64, 8\]"),
        ({"pretraining.source": "nowhere"}, "no run folder"),
        ({"pretraining.parts": "some"}, "parts"),
    ],
)
def test_what_cannot_be_taken_over(
    graph: Path, source: Run, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    given = RELATED | {"train.inverses": True, "pretraining.source": str(source.folder)} | settings
    with pytest.raises(UserError, match=message):
        api.train(str(graph), "default", folder=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


def test_strangers_have_nothing_to_give(source: Run, tmp_path: Path) -> None:
    triples = [(f"x{h}", r, f"x{t}") for h, r, t in facts(30)]
    other = write_graph(tmp_path / "graph", train=triples)
    settings = RELATED | {"pretraining.source": str(source.folder)}
    with pytest.raises(UserError, match="No entity of"):
        api.train(str(other), "default", folder=tmp_path / "run", **settings)
