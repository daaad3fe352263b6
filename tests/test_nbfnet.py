"""NBFNet against loops over nodes, edges and numbers; edges that are hidden; runs, other graphs, refusals, memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import Tensor

import falsum.models.nbfnet
from falsum import api
from falsum.errors import Interrupted, UserError
from falsum.evaluation.ranks import score_matrix
from falsum.graph.graph import BOTH_SIDES, Graph, Query, Side
from falsum.kernels.edges import Edges
from falsum.models import NBFNet
from falsum.mutations import Mixup
from falsum.noise import Candidates
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import read
from falsum.run.run import Run
from falsum.scan.loss import loss
from falsum.scan.network import Facts, NetworkScorer
from laws import worlds

SMALL = worlds.graph(5, 2, sizes=(9, 3, 3), seed=4)
# With an entity that nothing leads to.
GRAPH = replace(SMALL, entities=pl.concat([SMALL.entities, pl.Series("entity", ["alone"])]))
EVERYONE = Candidates(range(6))
SETTINGS = [
    NBFNet(dim=2, layers=2),
    NBFNet(dim=2, layers=2, dependent=False),
    NBFNet(dim=2, layers=2, message="transe"),
    NBFNet(dim=2, layers=2, message="rotate", dependent=False),
    NBFNet(dim=2, layers=2, aggregate="sum"),
    NBFNet(dim=2, layers=2, message="transe", aggregate="sum", remove_one_hop=True),
]


def scorer(settings: NBFNet, graph: Graph = GRAPH, seed: int = 3) -> NetworkScorer:
    """fp64, in evaluation mode."""
    module = settings.built(graph.num_base_relations)
    module.reset(seed)
    own = torch.arange(graph.num_base_relations)
    return NetworkScorer(module.double().eval(), Facts.of(graph, own, len(own), settings.hides), torch.float64)


# ------------------------------------------------------------------------------------- the specification, in loops

Row = list[Tensor]


def affine(weight: Tensor, bias: Tensor | None, x: Sequence[Tensor]) -> Row:
    out = []
    for i in range(len(weight)):
        total = torch.zeros((), dtype=torch.float64) if bias is None else bias[i]
        for k, value in enumerate(x):
            total = total + weight[i, k] * value
        out.append(total)
    return out


def message(kind: str, row: Row, vector: Row) -> Row:
    if kind == "transe":
        return [a + b for a, b in zip(row, vector, strict=True)]
    if kind == "distmult":
        return [a * b for a, b in zip(row, vector, strict=True)]
    half = len(row) // 2
    real = [row[k] * vector[k] - row[half + k] * vector[half + k] for k in range(half)]
    return real + [row[k] * vector[half + k] + row[half + k] * vector[k] for k in range(half)]


def naive(model: NetworkScorer, triples: list[tuple[int, int, int]], head: int, relation: int, num: int) -> Row:
    """Scores of all entities for (head, relation, ?), one number after another. Differentiable by the parameters."""
    net, settings, both = model.model, model.model.settings, 2 * model.facts.num_relations
    edges = [(h, r, t) for h, r, t in triples] + [(t, r + both // 2, h) for h, r, t in triples]
    dim, zero = settings.dim, torch.zeros((), dtype=torch.float64)
    query = list(net.query.weight[relation])
    boundary = [query if v == head else [zero] * dim for v in range(num)]
    arrivals = [1 + sum(t == v for _, _, t in edges) for v in range(num)]
    mean_log = sum(math.log(a) for a in arrivals) / num
    rows = boundary
    for layer in net.layers:
        if settings.dependent:
            flat = affine(layer.relation.weight, layer.relation.bias, query)
            vectors = [flat[r * dim : (r + 1) * dim] for r in range(both)]
        else:
            vectors = [list(layer.relation.weight[r]) for r in range(both)]
        fresh = []
        for v in range(num):
            came = [boundary[v]] + [message(settings.message, rows[u], vectors[r]) for u, r, t in edges if t == v]
            taken: Row = []
            if settings.aggregate == "sum":
                taken = [sum((m[k] for m in came), start=zero) for k in range(dim)]
            else:
                mean = [sum((m[k] for m in came), start=zero) / arrivals[v] for k in range(dim)]
                most = [max((m[k] for m in came), key=Tensor.detach) for k in range(dim)]
                least = [min((m[k] for m in came), key=Tensor.detach) for k in range(dim)]
                squares = [sum((m[k] * m[k] for m in came), start=zero) / arrivals[v] for k in range(dim)]
                spread = [torch.sqrt(torch.clamp(squares[k] - mean[k] * mean[k], min=1e-6)) for k in range(dim)]
                size = math.log(arrivals[v]) / mean_log
                for scale in (1.0, size, 1 / max(size, 0.01)):
                    taken += [scale * x for x in (*mean, *most, *least, *spread)]
            out = affine(layer.update.weight, layer.update.bias, [*rows[v], *taken])
            centre = sum(out, start=zero) / dim
            size_of = torch.sqrt(sum(((x - centre) * (x - centre) for x in out), start=zero) / dim + 1e-5)
            normed = [(x - centre) / size_of * layer.norm.weight[k] + layer.norm.bias[k] for k, x in enumerate(out)]
            fresh.append([torch.relu(x) + old for x, old in zip(normed, rows[v], strict=True)])
        rows = fresh
    hidden = [affine(net.hidden.weight, net.hidden.bias, [*row, *query]) for row in rows]
    return [affine(net.out.weight, net.out.bias, [torch.relu(x) for x in each])[0] for each in hidden]


def gradients(model: NetworkScorer) -> list[Tensor]:
    found = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters().values()]
    model.model.zero_grad()
    return found


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_scores_and_gradients_are_those_of_the_loops(settings: NBFNet, monkeypatch: pytest.MonkeyPatch) -> None:
    model = scorer(settings)
    with torch.no_grad():  # norms that do something
        for layer in model.model.layers:
            layer.norm.weight.copy_(torch.linspace(0.7, 1.4, settings.dim))
            layer.norm.bias.copy_(torch.linspace(0.3, -0.1, settings.dim))
    triples = worlds.triples_of(GRAPH, ["train"])
    by = torch.linspace(-1, 1, 6, dtype=torch.float64)
    for side in BOTH_SIDES:
        query = GRAPH.queries(GRAPH.splits["train"][:2], side, grouped=False)
        shift = GRAPH.num_base_relations if side is Side.HEAD else 0
        asked = zip(query.anchor.tolist(), query.relation.tolist(), strict=True)
        theirs = torch.stack([torch.stack(naive(model, triples, h, r + shift, 6)) for h, r in asked])
        (theirs @ by).sum().backward()
        wanted = theirs.detach(), gradients(model)
        for together in (1, 64):  # questions that go through a layer at a time
            monkeypatch.setattr(falsum.models.nbfnet, "at_a_time", lambda *_, size=together: size)
            scores = score_matrix(model, query)
            (scores @ by).sum().backward()
            worlds.same((scores.detach(), gradients(model)), wanted)


def test_a_wrong_loop_is_noticed() -> None:
    model, query = scorer(SETTINGS[0]), GRAPH.queries(GRAPH.splits["train"][:1], Side.TAIL, grouped=False)
    left_out = worlds.triples_of(GRAPH, ["train"])[1:]
    theirs = torch.stack(naive(model, left_out, int(query.anchor), int(query.relation), 6))
    assert not torch.allclose(score_matrix(model, query)[0], theirs)


def test_rows_per_edge_give_what_sparse_products_give() -> None:
    edges, _ = Edges.of(GRAPH.splits["train"].repeat(2, 1), GRAPH.num_relations, 6)
    messages = torch.randn(len(edges.start), 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def results(make) -> tuple[Tensor, list[Tensor]]:
        own = messages.clone().requires_grad_()
        out = make(own)
        (out * torch.arange(30, dtype=out.dtype).view(6, 5)).sum().backward()
        return out.detach(), [own.grad]

    for at in (0, 1):
        worlds.same(results(lambda x, at=at: edges.sums(x)[at]), results(lambda x, at=at: edges.gathered_sums(x)[at]))
    for which in ("amax", "amin"):
        sparse = results(lambda x, which=which: edges.extremes(x, which))
        worlds.same(sparse, results(lambda x, which=which: edges.gathered_extremes(x, which)))


# ----------------------------------------------------------------------------------------------------- hidden edges


def hidden(hides: str, query: Query, drawn: Candidates) -> set[tuple[int, int, int]]:
    """The training triples that a batch does not see, by its edges in both directions."""
    model = scorer(NBFNet(dim=2, layers=1, remove_one_hop=hides == "pair"))
    seen = model._seen(query, model._relation(query), drawn)
    both = 2 * GRAPH.num_base_relations
    left = {
        (int(seen.start[p]), int(seen.relation[p]), t)
        for p, t in zip(seen.pair.tolist(), seen.end.tolist(), strict=True)
    }
    there = {(h, r, t) for h, r, t in left if r < both // 2}
    assert {(t, r - both // 2, h) for h, r, t in left if r >= both // 2} == there
    return set(worlds.triples_of(GRAPH, ["train"])) - there


def test_training_hides_what_would_answer() -> None:
    every = worlds.triples_of(GRAPH, ["train"])
    for graph, side in ((g, side) for g in (GRAPH, GRAPH.with_inverses()) for side in BOTH_SIDES):
        query = graph.queries(graph.splits["train"][:2], side, grouped=False)
        drawn = Candidates(torch.tensor([[0, 1], [2, 3]]))
        assert hidden("triple", query, drawn) == set(every[:2])
        ends = [{h, t} for h, _, t in every[:2]] + [
            {int(a), e} for a, row in zip(query.anchor, drawn.ids.tolist(), strict=True) for e in row
        ]
        assert hidden("pair", query, drawn) == {(h, r, t) for h, r, t in every if {h, t} in ends}
        assert hidden("pair", query, EVERYONE) == {(h, r, t) for h, r, t in every if {h, t} in ends[:2]}


def test_only_training_hides_edges() -> None:
    model = scorer(SETTINGS[0])
    query = GRAPH.queries(GRAPH.splits["train"][:2], Side.TAIL, grouped=False)
    seen = score_matrix(model, query)
    model.model.train()
    assert not torch.equal(score_matrix(model, query), seen)
    left = replace(GRAPH, splits={**GRAPH.splits, "train": GRAPH.splits["train"][2:]})
    torch.testing.assert_close(score_matrix(model, query), score_matrix(scorer(SETTINGS[0], left), query))


# ------------------------------------------------------------------------------------------------- with other parts


def test_objectives_noises_and_mutations_take_its_rows() -> None:
    """Losses are those of its scores: equal questions share their rows, and a mutation mixes features."""
    model = scorer(SETTINGS[0])
    for objective in worlds.objectives():
        built = worlds.make_objective(objective)
        for drawn in (EVERYONE, Candidates(torch.tensor([[0, 3, 3]]))):
            query = GRAPH.queries(GRAPH.splits["train"], Side.TAIL, grouped=worlds.grouped(built))
            scores, values = score_matrix(model, query).detach(), loss(model, built, query, drawn, 0)
            wanted = []
            for i in range(len(query)):
                rivals = worlds.counted(query, drawn, i, 6)
                positives = [float(scores[i, t]) for t in worlds.targets_of(query, i)]
                negatives = [float(scores[i, e]) for e, _, _ in rivals]
                wanted += worlds.specified(objective, positives, negatives, [1.0] * len(rivals), 6)
            torch.testing.assert_close(values, torch.tensor(wanted, dtype=torch.float64), rtol=1e-8, atol=1e-8)
    query, ids = GRAPH.queries(GRAPH.splits["train"][:2], Side.TAIL, grouped=False), torch.tensor([[0, 1], [2, 3]])
    mixed = loss(model, worlds.make_objective(("margin", {})), query, Candidates(ids), 5, mutation=Mixup())
    asked = model.ask(query, Candidates(ids), 5)
    take = Mixup().mix(ids, asked.rows.of(ids), 5).take
    rows = take * asked.target[:, None] + (1 - take) * asked.rows.of(ids)
    scores = model.model.compare(asked.vector[:, None], torch.cat([asked.target[:, None], rows], 1)).squeeze(1)
    hinge = torch.relu(1 + scores[:, 1:] - scores[:, :1]).sum(1)
    torch.testing.assert_close(mixed, hinge)


# ------------------------------------------------------------------------------------------------------------- runs

PAPER = {
    "model": {"name": "nbfnet", "dim": 4, "layers": 2, "remove_one_hop": True},
    "objective": {"name": "self-adversarial", "inverse_temperature": 2.0},
    "noise": {"name": "uniform", "num": 3, "filtered": True},
    "terms": [{"objective": {"name": "margin"}, "mutation": {"name": "mixup"}, "weight": 0.5}],
    "optimizer": {"name": "adam", "lr": 0.01},
    "train": {"epochs": 3, "batch_size": 8, "device": "cpu"},
    "validation": {"every": 1},
}
LARGER = worlds.graph(8, 2, sizes=(20, 5, 5), seed=2)


def relabelled(graph: Graph, entity: Tensor, relation: Tensor) -> Graph:
    """The graph with new labels and ids: entity[i] and relation[i] are the ids of what was i."""
    place = torch.argsort(relation)
    splits = {
        name: torch.stack([entity[t[:, 0]], relation[t[:, 1]], entity[t[:, 2]]], 1) for name, t in graph.splits.items()
    }
    labels = pl.Series("entity", [f"new {i}" for i in range(graph.num_entities)])
    return replace(graph, splits=splits, entities=labels, relations=graph.relations.gather(place.tolist()))


def test_a_run_trains_resumes_and_answers(tmp_path: Path) -> None:
    whole = api.train(LARGER, read(PAPER), folder=tmp_path / "whole")
    losses = [line["loss"] for line in whole.history() if "metrics" not in line]
    assert len(losses) == 4
    cut = Run.create(LARGER, read(PAPER), tmp_path / "cut")
    steps = iter(range(100))
    with pytest.raises(Interrupted):
        for _ in cut.train(stop=lambda: next(steps) == 4):
            pass
    cut = api.resume(tmp_path / "cut")
    for name, tensor in whole.scoring.tensors().items():
        assert name.startswith("model.")
        assert torch.equal(tensor, cut.scoring.tensors()[name]), name
    assert cut.evaluate("valid").frame.equals(whole.evaluate("valid").frame)
    answers = whole.predict(head="e0", relation="r1", top_k=8)
    assert answers["label"].sort().to_list() == [f"e{i}" for i in range(8)]
    scored = whole.score([("e0", "r1", answers["label"][0]), ("e2", "r0", "e3")])
    assert scored["tail_score"][0] == pytest.approx(answers["score"][0], rel=1e-5)
    assert whole.predict(head="e0", tail="e1")["label"].sort().to_list() == ["r0", "r1"]
    inverse = api.train(LARGER, read(PAPER), folder=tmp_path / "inverse", **{"train.inverses": True})
    for name, tensor in whole.scoring.tensors().items():  # head questions are those of inverses, labelled or not
        torch.testing.assert_close(tensor, inverse.scoring.tensors()[name])


def test_a_frozen_network_weighs_triples(tmp_path: Path) -> None:
    source = api.train(LARGER, read(PAPER), folder=tmp_path / "source")
    plain = {"model": {"name": "distmult", "dim": 4}, "train": {"epochs": 1, "device": "cpu"}}
    weighted = read({**plain, "weighting": {"name": "model-based", "source": str(source.folder)}})
    assert api.train(LARGER, weighted, folder=tmp_path / "weighted").finished


def test_another_graph_is_asked_by_its_own_facts(tmp_path: Path) -> None:
    run = api.train(LARGER, read(PAPER), folder=tmp_path / "run")
    own = run.evaluate("test", keep=False)
    same = relabelled(LARGER, torch.arange(8), torch.arange(2))
    assert run.evaluate("test", graph=same).frame.equals(own.frame)
    before, after = (
        run.predict(head="e1", relation="r0", top_k=8),
        run.predict(head="new 1", relation="r0", top_k=8, graph=same),
    )
    assert after["label"].to_list() == [label.replace("e", "new ") for label in before["label"]]
    assert after["score"].equals(before["score"])
    entity, relation = torch.tensor([3, 0, 7, 1, 2, 6, 5, 4]), torch.tensor([1, 0])
    other = relabelled(LARGER, entity, relation)
    moved = run.predict(head="new 0", relation="r0", top_k=8, graph=other)  # e1, which has the id 0 now
    assert moved["label"].to_list() == [f"new {entity[int(label[1:])]}" for label in before["label"]]
    torch.testing.assert_close(moved["score"].to_torch(), before["score"].to_torch())
    triples = [("e1", "r0", "e2")], [("new 0", "r0", "new 7")]
    for name in ("tail_score", "head_score"):
        values = (run.score(triples[0])[name][0], run.score(triples[1], graph=other)[name][0])
        assert values[0] == pytest.approx(values[1], rel=1e-5)
    larger = replace(  # an entity that training never saw, with one fact
        same,
        entities=pl.concat([same.entities, pl.Series("entity", ["newest"])]),
        splits={**same.splits, "train": torch.cat([same.splits["train"], torch.tensor([[8, 1, 0]])])},
    )
    assert "newest" in run.predict(relation="r1", tail="new 0", top_k=9, graph=larger)["label"]
    assert len(run.evaluate("test", graph=larger).frame) == len(own.frame)
    assert run.kept("test").result is not None  # of the graph that it was trained on


def test_another_graph_needs_known_relations_and_no_entity_rows(tmp_path: Path) -> None:
    run = api.train(LARGER, read(PAPER), folder=tmp_path / "run", **{"train.epochs": 1})
    strange = replace(LARGER, relations=pl.Series("relation", ["r0", "s"]))
    with pytest.raises(UserError, match=r"does not know 1 of the 2 relations of the graph, such as 's'"):
        run.evaluate("test", graph=strange)
    with pytest.raises(UserError, match="has no split 'test'"):
        run.evaluate("test", graph=replace(LARGER, splits={"train": LARGER.splits["train"]}))
    plain = {"model": {"name": "distmult", "dim": 4}, "train": {"epochs": 1, "device": "cpu"}}
    with pytest.raises(UserError, match="keeps a row for each entity that it was trained with"):
        api.train(LARGER, read(plain), folder=tmp_path / "plain").predict(head="e0", relation="r0", graph=LARGER)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"penalty": [{"name": "n3"}]}, "Setting penalty is about rows"),
        ({"dropout": {"entity": 0.1}}, "Setting dropout is about rows"),
        ({"init": {"entity": {"name": "normal"}}}, "Setting init is about rows"),
        ({"pretraining": {"source": "runs/one"}}, "Setting pretraining is about rows"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_about_rows_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        assemble(read(PAPER | settings), LARGER)


def test_what_needs_rows_says_so(tmp_path: Path) -> None:
    run = api.train(LARGER, read(PAPER), folder=tmp_path / "run", **{"train.epochs": 1})
    plain = {"model": {"name": "distmult", "dim": 4}, "pretraining": {"source": str(run.folder)}}
    for ask in (
        lambda: run.neighbors("e0"),
        lambda: run.embedding("e0"),
        lambda: run.relation_embedding("r0"),
        lambda: run.export(tmp_path / "rows"),
        lambda: api.probe(LARGER, ["uniform"], folder=tmp_path / "probe", run=run),
        lambda: api.train(LARGER, read(PAPER | {"noise": "nearest-neighbour"}), folder=tmp_path / "near"),
        lambda: api.train(LARGER, read(plain), folder=tmp_path / "started"),
    ):
        with pytest.raises(UserError, match=r"keeps no rows of|keeps none"):
            ask()


def test_its_memory_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = assemble(read(PAPER), LARGER).planned
    rows = next(size for name, size in planned.items() if name.startswith("rows of 8 entities, made for 8 questions"))
    assert rows > 4 * (2 + 1) * 8 * 8 * 4
    monkeypatch.setattr("falsum.recipe.memory.free_bytes", lambda device: rows - 1)
    with pytest.raises(UserError, match="made for 8 questions at a time"):
        assemble(read(PAPER), LARGER)


def test_settings_out_of_range_are_refused() -> None:
    for options, said in (({"layers": 0}, "layers must lie in"), ({"dim": 3, "message": "rotate"}, "must be even")):
        with pytest.raises(UserError, match=said):
            read({"model": {"name": "nbfnet", **options}})
