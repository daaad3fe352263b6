"""Tests of answers by label, against scores worked out by hand or by a plain loop over ids."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from falsum.errors import UserError
from falsum.graph.graph import Graph, Side
from falsum.models import ComplEx, DistMult, RotatE, ScoreModel, TransE, TuckER
from falsum.models.base import Relations
from falsum.predict import answers, labels, vectors
from falsum.recipe.settings import read
from falsum.rows.table import Table
from falsum.run.run import Run
from falsum.scan.scoring import Scoring

ENTITIES = ["Ada", "Bob", "Češka", "日本", 'O\'Hara "x"', "Zoë"]
RELATIONS = ["knows", "likes"]
TRAIN = [[0, 0, 1], [0, 0, 2], [1, 1, 3], [0, 0, 1]]
TEST = [[0, 0, 3], [0, 1, 3]]


def tiny_graph(inverses: bool = False) -> Graph:
    splits = {"train": torch.tensor(TRAIN), "valid": torch.tensor([[4, 1, 5]]), "test": torch.tensor(TEST)}
    graph = Graph("tiny", splits, pl.Series(ENTITIES), pl.Series(RELATIONS), 2)
    return graph.with_inverses() if inverses else graph


def tiny_scoring(model: ScoreModel, graph: Graph) -> Scoring:
    entities, relations = Table(graph.num_entities, model.dim), Table(graph.num_relations, model.relation_width)
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for table in (entities, relations):
            table.weight.copy_(torch.randn(table.weight.shape, generator=source))
    model.eval()
    return Scoring(entities, relations, model)


def plain_score(scoring: Scoring, anchor: int, relation: int, answer: int, side: Side) -> float:
    """One score from rows alone."""
    weight, row = (
        scoring.entities.weight.detach(),
        Relations(scoring.relations.weight.detach()[relation][None], torch.tensor([0])),
    )
    vector = scoring.model.query(weight[anchor][None], row, side, 0)
    return float(scoring.model.compare(vector, weight[answer][None]).detach())


MODELS = [DistMult(4), ComplEx(4), TransE(4), RotatE(4)]
IDS = [type(model).__name__ for model in MODELS]


@pytest.mark.parametrize("model", MODELS, ids=IDS)
@pytest.mark.parametrize("inverses", [False, True], ids=["plain", "inverses"])
def test_tails_and_heads_come_in_order_of_their_scores(model: ScoreModel, inverses: bool) -> None:
    graph = tiny_graph(inverses)
    scoring = tiny_scoring(model, graph)
    tails = [plain_score(scoring, 0, 0, entity, Side.TAIL) for entity in range(6)]
    asked = (2, Side.TAIL) if inverses else (0, Side.HEAD)
    heads = [plain_score(scoring, 3, asked[0], entity, asked[1]) for entity in range(6)]
    for scores, question in ((tails, {"head": "Ada"}), (heads, {"tail": "日本"})):
        frame = answers.predict(graph, scoring, relation="knows", **question)
        order = sorted(range(6), key=lambda entity: -scores[entity])
        assert frame["label"].to_list() == [ENTITIES[entity] for entity in order]
        assert frame["score"].to_list() == pytest.approx([scores[entity] for entity in order], abs=1e-5)
        assert frame["rank"].to_list() == [1, 2, 3, 4, 5, 6]


def test_known_answers_carry_their_first_split_or_are_left_out() -> None:
    graph = tiny_graph()
    scoring = tiny_scoring(ComplEx(4), graph)
    marked = answers.predict(graph, scoring, head="Ada", relation="knows")
    known = dict(zip(marked["label"], marked["known"], strict=True))
    assert known == {**dict.fromkeys(ENTITIES), "Bob": "train", "Češka": "train", "日本": "test"}
    dropped = answers.predict(graph, scoring, head="Ada", relation="knows", known="drop", top_k=5)
    assert dropped["label"].to_list() == marked.filter(pl.col("known").is_null())["label"].to_list()
    assert dropped["rank"].to_list() == [1, 2, 3]
    assert answers.predict(graph, scoring, head="Ada", relation="knows", top_k=2).equals(marked.head(2))
    heads = answers.predict(graph, scoring, relation="likes", tail="日本")
    assert dict(zip(heads["label"], heads["known"], strict=True))["Bob"] == "train"


def test_a_fact_of_two_splits_carries_the_first() -> None:
    graph = tiny_graph()
    splits = {**graph.splits, "test": torch.tensor([*TEST, TRAIN[0]])}
    leaky = Graph("leaky", splits, graph.entities, graph.relations, 2)
    scoring = tiny_scoring(ComplEx(4), leaky)
    frame = answers.predict(leaky, scoring, head="Ada", relation="knows")
    assert frame.height == 6
    assert dict(zip(frame["label"], frame["known"], strict=True))["Bob"] == "train"
    assert answers.score(leaky, scoring, [("Ada", "knows", "Bob")])["known"].to_list() == ["train"]


@pytest.mark.parametrize("inverses", [False, True], ids=["plain", "inverses"])
def test_relations_are_ranked_by_the_scores_of_their_triples(inverses: bool) -> None:
    graph = tiny_graph(inverses)
    scoring = tiny_scoring(DistMult(4), graph)
    frame = answers.predict(graph, scoring, head="Ada", tail="日本")
    triples = [("Ada", relation, "日本") for relation in frame["label"]]
    scored = answers.score(graph, scoring, triples)
    assert frame["score"].to_list() == scored["score"].to_list()
    assert frame["score"].is_sorted(descending=True)
    assert set(frame["label"]) == set(RELATIONS)
    assert frame["known"].to_list() == ["test", "test"]


def test_score_gives_both_directions_and_their_mean_with_inverse_relations() -> None:
    graph = tiny_graph(inverses=True)
    scoring = tiny_scoring(ComplEx(4), graph)
    triples = [("Bob", "likes", "日本"), ("Zoë", "knows", "Ada")]
    frame = answers.score(graph, scoring, triples)
    tail = [plain_score(scoring, 1, 1, 3, Side.TAIL), plain_score(scoring, 5, 0, 0, Side.TAIL)]
    head = [plain_score(scoring, 3, 3, 1, Side.TAIL), plain_score(scoring, 0, 2, 5, Side.TAIL)]
    assert frame["tail_score"].to_list() == pytest.approx(tail, abs=1e-5)
    assert frame["head_score"].to_list() == pytest.approx(head, abs=1e-5)
    assert frame["score"].to_list() == pytest.approx([(a + b) / 2 for a, b in zip(tail, head, strict=True)], abs=1e-5)
    assert frame["known"].to_list() == ["train", None]
    assert frame.select("head", "relation", "tail").rows() == triples


def test_both_directions_of_a_model_that_answers_them_differently() -> None:
    """TuckER's batch norms act on the anchor and on the product, so that its two sides differ without inverses too."""
    graph = tiny_graph()
    scoring = tiny_scoring(TuckER(4, relation_dim=3), graph)
    source = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in scoring.model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=source) + 0.5 * name.endswith("var"))
    frame = answers.score(graph, scoring, [("Bob", "likes", "日本")])
    tail, head = plain_score(scoring, 1, 1, 3, Side.TAIL), plain_score(scoring, 3, 1, 1, Side.HEAD)
    assert abs(tail - head) > 0.1
    assert frame["tail_score"].item() == pytest.approx(tail, abs=1e-5)
    assert frame["head_score"].item() == pytest.approx(head, abs=1e-5)
    assert frame["score"].item() == pytest.approx((tail + head) / 2, abs=1e-5)
    for question, way in (({"head": "Bob"}, tail), ({"tail": "日本"}, head), ({"head": "Bob", "tail": "日本"}, None)):
        asked = {"relation": "likes"} if way is not None else {}
        found = answers.predict(graph, scoring, **question, **asked)
        label = "likes" if way is None else "日本" if "head" in question else "Bob"
        value = found.filter(pl.col("label") == label)["score"].item()
        assert value == pytest.approx((tail + head) / 2 if way is None else way, abs=1e-5), question


def test_score_of_a_frame_keeps_its_order_and_repeats() -> None:
    graph = tiny_graph()
    scoring = tiny_scoring(RotatE(4), graph)
    rows = [("Ada", "knows", "Bob"), ("Zoë", "likes", "Zoë"), ("Ada", "knows", "Bob"), ('O\'Hara "x"', "likes", "Zoë")]
    given = pl.DataFrame([(9, *row) for row in rows], schema=["extra", "head", "relation", "tail"], orient="row")
    frame = answers.score(graph, scoring, given)
    assert frame.columns == ["head", "relation", "tail", "tail_score", "head_score", "score", "known"]
    assert frame.select("head", "relation", "tail").rows() == rows
    assert frame["known"].to_list() == ["train", None, "train", "valid"]
    assert frame["score"][0] == frame["score"][2] == pytest.approx(plain_score(scoring, 0, 0, 1, Side.TAIL), abs=1e-5)
    assert frame["tail_score"].to_list() == pytest.approx(frame["head_score"].to_list(), abs=1e-5)


def test_score_in_blocks_is_score_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tiny_graph(inverses=True)
    scoring = tiny_scoring(TransE(4), graph)
    triples = [(head, relation, tail) for head in ENTITIES for relation in RELATIONS for tail in ENTITIES]
    whole = answers.score(graph, scoring, triples)
    near = vectors.neighbors(graph, scoring, "Ada", 5)
    monkeypatch.setattr(answers, "BLOCK", 20)
    monkeypatch.setattr(vectors, "BLOCK", 20)
    assert answers.score(graph, scoring, triples)["score"].to_list() == pytest.approx(whole["score"].to_list())
    assert vectors.neighbors(graph, scoring, "Ada", 5)["label"].to_list() == near["label"].to_list()


def test_score_of_nothing_is_an_empty_frame() -> None:
    graph = tiny_graph(inverses=True)
    frame = answers.score(graph, tiny_scoring(DistMult(4), graph), [])
    assert frame.shape == (0, 7)


def test_neighbors_are_by_cosine_for_inner_products() -> None:
    graph = tiny_graph()
    scoring = tiny_scoring(DistMult(2), graph)
    rows = [[1, 0], [10, 1], [0.9, 0.9], [0, 5], [-1, 0], [0.1, 0]]
    scoring.entities.weight.data = torch.tensor(rows, dtype=torch.float32)
    frame = vectors.neighbors(graph, scoring, "Ada", 3)
    assert frame["label"].to_list() == ["Zoë", "Bob", "Češka"]
    assert frame["similarity"].to_list() == pytest.approx([1, 10 / 101**0.5, 0.5**0.5], abs=1e-6)


def test_neighbors_are_by_distance_for_distance_models() -> None:
    graph = tiny_graph()
    scoring = tiny_scoring(TransE(2), graph)
    rows = [[1, 0], [10, 1], [0.9, 0.9], [0, 5], [-1, 0], [0.1, 0]]
    scoring.entities.weight.data = torch.tensor(rows, dtype=torch.float32)
    frame = vectors.neighbors(graph, scoring, "Ada", 2)
    assert frame["label"].to_list() == ["Zoë", "Češka"]
    assert frame["similarity"].to_list() == pytest.approx([-0.9, -(0.82**0.5)], abs=1e-6)


def test_embeddings_are_copies_of_rows() -> None:
    graph = tiny_graph(inverses=True)
    scoring = tiny_scoring(RotatE(4), graph)
    row = vectors.embedding(graph, scoring, "日本")
    np.testing.assert_array_equal(row, scoring.entities.weight[3].detach().numpy())
    row[:] = 7
    assert float(scoring.entities.weight[3].detach().max()) != 7
    likes = vectors.relation_embedding(graph, scoring, "likes (inverse)")
    np.testing.assert_array_equal(likes, scoring.relations.weight[3].detach().numpy())
    assert vectors.relation_embedding(graph, scoring, "knows").shape == (2,)


def test_exports_hold_every_row_and_label(tmp_path: Path) -> None:
    graph = tiny_graph(inverses=True)
    scoring = tiny_scoring(ComplEx(4), graph)
    for name, names, table in (
        ("entities", ENTITIES, scoring.entities),
        ("relations", graph.relations.to_list(), scoring.relations),
    ):
        paths = vectors.export(graph, scoring, tmp_path / "new")
        frame = pl.read_parquet(tmp_path / "new" / f"{name}.parquet")
        assert tmp_path / "new" / f"{name}.parquet" in paths
        assert frame["label"].to_list() == names
        np.testing.assert_array_equal(frame["row"].to_numpy(), table.weight.detach().numpy())
        vectors.export(graph, scoring, tmp_path, "tsv")
        text = pl.read_csv(tmp_path / f"{name}.tsv", separator="\t", has_header=False)
        assert text[:, 0].to_list() == names
        np.testing.assert_allclose(text[:, 1:].to_numpy(), table.weight.detach().numpy(), rtol=1e-6)


def test_a_failed_export_leaves_no_part_behind(tmp_path: Path) -> None:
    graph = tiny_graph()
    scoring = tiny_scoring(DistMult(4), graph)
    entities, _ = vectors.export(graph, scoring, tmp_path)
    before = entities.read_bytes()
    (tmp_path / "relations.parquet").unlink()
    (tmp_path / "relations.parquet").mkdir()
    scoring.entities.weight.data += 1
    with pytest.raises(UserError, match=r"relations\.parquet could not be written"):
        vectors.export(graph, scoring, tmp_path)
    assert entities.read_bytes() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["entities.parquet", "relations.parquet"]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"head": "Ada"}, r"got head\. For example: predict\(head='Ada', relation='knows'\)"),
        ({}, "got none of them"),
        ({"head": "Ada", "relation": "knows", "tail": "Bob"}, "got head, relation, tail"),
        ({"head": "Ada", "relation": "knows", "top_k": 0}, "at least 1; got 0"),
        ({"head": "Ada", "relation": "knows", "known": "hide"}, "got 'hide'"),
        ({"head": "Adda", "relation": "knows"}, "'Adda' is no entity of graph 'tiny'. The closest: 'Ada'"),
        ({"head": "ada", "relation": "knows"}, "The closest: 'Ada'"),
        ({"tail": "Ceška", "relation": "knows"}, "The closest: 'Češka'"),
        ({"head": "likes", "relation": "knows"}, "'likes' is no entity of graph 'tiny': it is a relation"),
        ({"head": "Ada", "relation": "Bob"}, "'Bob' is no relation of graph 'tiny': it is an entity"),
        ({"head": "Ada", "relation": "know"}, "'know' is no relation of graph 'tiny'. The closest: 'knows'"),
        ({"head": "Ada", "tail": "qqqq"}, "no label is close to it. All labels are in graph.entities"),
        ({"head": "Ada", "tail": ""}, "no label is close to it"),
        ({"head": 3, "relation": "knows"}, "labels are text, got int"),
    ],
)
def test_wrong_questions_say_what_is_wrong(question: dict, message: str) -> None:
    graph = tiny_graph()
    with pytest.raises(UserError, match=message):
        answers.predict(graph, tiny_scoring(DistMult(4), graph), **question)


def test_wrong_triples_say_which(tmp_path: Path) -> None:
    graph = tiny_graph()
    scoring = tiny_scoring(DistMult(4), graph)
    with pytest.raises(UserError, match=r"got \('Ada', 'knows'\) as triple 2"):
        answers.score(graph, scoring, [("Ada", "knows", "Bob"), ("Ada", "knows")])
    with pytest.raises(UserError, match="got 'Ada' as triple 1"):
        answers.score(graph, scoring, ["Ada"])
    with pytest.raises(UserError, match="the frame has no relation and no tail"):
        answers.score(graph, scoring, pl.DataFrame({"head": ["Ada"]}))
    with pytest.raises(UserError, match=r"'Bobb' \(triple 2 of 2\) is no entity .* The closest: 'Bob'"):
        answers.score(graph, scoring, [("Ada", "knows", "Bob"), ("Ada", "knows", "Bobb")])
    with pytest.raises(UserError, match=r'format is "parquet" or "tsv"; got \'csv\''):
        vectors.export(graph, scoring, tmp_path, "csv")
    with pytest.raises(UserError, match="number of neighbours wanted, at least 1; got 0"):
        vectors.neighbors(graph, scoring, "Ada", 0)


def test_scores_that_are_not_finite_are_no_answers() -> None:
    graph = tiny_graph()
    scoring = tiny_scoring(DistMult(4), graph)
    scoring.entities.weight.data[2, 0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        answers.predict(graph, scoring, head="Ada", relation="knows")
    with pytest.raises(UserError, match="not finite"):
        answers.score(graph, scoring, [("Ada", "knows", "Češka")])


def test_the_example_of_a_graph_without_triples_has_placeholders() -> None:
    graph = Graph("empty", {}, pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.String), 0)
    assert answers.example(graph) == "predict(head='HEAD', relation='RELATION')"


def test_close_labels_are_found_among_very_many_soon() -> None:
    letters = np.random.default_rng(0).integers(97, 123, size=(100_000, 12), dtype=np.uint8)
    names = pl.Series([row.tobytes().decode() for row in letters] + ["Frankfurt am Main", "Paris"])
    start = time.perf_counter()
    assert labels.closest(names, "frankfrut am main")[0] == "Frankfurt am Main"
    assert labels.closest(names, "Prais")[0] == "Paris"
    assert time.perf_counter() - start < 5


def test_a_run_answers_as_its_parts_do(tmp_path: Path) -> None:
    recipe = read({
        "model": {"name": "complex", "dim": 8},
        "train": {"epochs": 1, "inverses": True},
        "validation": {"every": 0},
    })  # fmt: skip
    for _ in Run.create(tiny_graph(), recipe, tmp_path / "run").train():
        pass
    run = Run.open(tmp_path / "run")
    assert run.predict(head="Ada", relation="knows", known="drop")["label"].len() == 3
    both = run.score([("Ada", "knows", "Bob")]).row(0, named=True)
    assert both["score"] == pytest.approx((both["tail_score"] + both["head_score"]) / 2)
    top = run.predict(head="Ada", relation="knows").filter(pl.col("label") == "Bob")["score"][0]
    assert top == pytest.approx(both["tail_score"], abs=1e-5)
    assert run.neighbors("Ada", 2).height == 2
    assert run.embedding("Ada").shape == run.relation_embedding("knows (inverse)").shape == (8,)
    assert [path.name for path in run.export(tmp_path / "rows", "tsv")] == ["entities.tsv", "relations.tsv"]
