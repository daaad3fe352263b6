"""Answers by label from a trained model: missing entities and relations, scores, neighbours, rows, exports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import polars as pl
import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.evaluation.ranks import score_matrix
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates
from falsum.predict import labels
from falsum.scan.scoring import Scorer, pair_scores

Known = Literal["mark", "drop"]

# Reals that one block of gathered or compared rows may hold: 16 MiB.
BLOCK = 1 << 22
COLUMNS = ("head", "relation", "tail")


@dataclass(frozen=True, slots=True)
class Directions:
    """Scores of triples: by asking for the tail and by asking for the head, both (m,) fp32.

    They differ with inverse relations, which have rows of their own, and for a model whose queries of the two sides are
    no transposes of each other, as those of TuckER with its batch norms; else they are equal but for rounding.
    """

    tail: Tensor
    head: Tensor

    @property
    def mean(self) -> Tensor:
        return (self.tail + self.head) / 2


def predict(
    graph: Graph,
    scoring: Scorer,
    *,
    head: str | None = None,
    relation: str | None = None,
    tail: str | None = None,
    top_k: int = 10,
    known: Known = "mark",
) -> pl.DataFrame:
    """The most plausible fillings of the slot that is left out, best first.

    graph: as the model was trained on it (`Graph.with_inverses` where the recipe says so). Give two of head, relation
    and tail by label. Columns: rank (place in this list, from 1; equal scores stand in order of id), label, score,
    known (the first split that holds the completed triple, else null). known="drop" leaves such triples out.

    A missing relation is scored as the triple is by `score`: by the mean of the tail and head directions.

    Raises UserError for an unknown label, a wrong number of slots, or scores that are not finite.
    """
    _check_question(graph, head, relation, tail, top_k, known)
    if relation is None:
        head_id, tail_id = (labels.find(graph, "entity", label) for label in (head, tail))
        scores = relation_scores(graph, scoring, head_id, tail_id)
        names = labels.labels_of(graph, "relation")
        facts = _known_of(graph, (head_id, None, tail_id))
    else:
        side = Side.TAIL if head is not None else Side.HEAD
        anchor = labels.find(graph, "entity", head if head is not None else tail)
        asked = labels.find(graph, "relation", relation)
        scores = entity_scores(graph, scoring, anchor, asked, side)
        names = graph.entities
        facts = _known_of(graph, (anchor, asked, None) if side is Side.TAIL else (None, asked, anchor))
    return _table(scores, names, facts, top_k, known)


def _check_question(
    graph: Graph, head: str | None, relation: str | None, tail: str | None, top_k: int, known: str
) -> None:
    given = [name for name, value in zip(COLUMNS, (head, relation, tail), strict=True) if value is not None]
    if len(given) != 2:
        raise UserError(
            f"A question names two of head, relation and tail; got {', '.join(given) or 'none of them'}. "
            f"For example: {example(graph)}."
        )
    if not isinstance(top_k, int) or top_k < 1:
        raise UserError(f"top_k is the number of answers wanted, at least 1; got {top_k!r}.")
    if known not in ("mark", "drop"):
        raise UserError(f'known is "mark" (show known facts as such) or "drop" (leave them out); got {known!r}.')


def example(graph: Graph) -> str:
    """A legal call, with labels of the graph's first triple where it has one."""
    first = next((triples[0].tolist() for triples in graph.splits.values() if len(triples)), None)
    head, relation = (graph.entities[first[0]], graph.relations[first[1]]) if first else ("HEAD", "RELATION")
    return f"predict(head={head!r}, relation={relation!r})"


@torch.no_grad()
def entity_scores(graph: Graph, scoring: Scorer, anchor: int, relation: int, side: Side) -> Tensor:
    """(E,) fp32 CPU scores of every entity in the open slot `side` of (anchor, relation).

    Raises UserError when one is not finite.
    """
    asked, way = graph.ask(torch.tensor([relation]), side)
    none = torch.zeros(0, dtype=torch.int64)
    query = Query(torch.tensor([anchor]), asked, none, none, torch.zeros(0), way, side)
    return _finite(score_matrix(scoring, query.to(scoring.device))[0].cpu())


def relation_scores(graph: Graph, scoring: Scorer, head: int, tail: int) -> Tensor:
    """(R,) fp32 scores of the triple with each base relation in its middle: the mean of both directions."""
    relation = torch.arange(graph.num_base_relations)
    triples = torch.stack([torch.full_like(relation, head), relation, torch.full_like(relation, tail)], 1)
    return directions(graph, scoring, triples).mean


@torch.no_grad()
def directions(graph: Graph, scoring: Scorer, triples: Tensor) -> Directions:
    """Scores of triples (m, 3) by id, in blocks of bounded memory.

    Raises UserError when one is not finite.
    """
    width = max((table.width for table in scoring.tables.values()), default=1)
    blocks = triples.split(min(max(1, BLOCK // width), scoring.at_once))

    def scores(side: Side) -> Tensor:
        parts = [_block_scores(graph, scoring, block, side) for block in blocks]
        return _finite(torch.cat(parts)) if parts else torch.zeros(0)

    return Directions(scores(Side.TAIL), scores(Side.HEAD))


def _block_scores(graph: Graph, scoring: Scorer, triples: Tensor, side: Side) -> Tensor:
    query = graph.queries(triples, side, grouped=False).to(scoring.device)
    asked = scoring.ask(query, Candidates(range(graph.num_entities)), 0)
    return pair_scores(asked.compare, asked.vector, asked.target, asked.vector.dtype).cpu()


def _finite(scores: Tensor) -> Tensor:
    if not bool(torch.isfinite(scores).all()):
        raise UserError(
            "The model gives scores that are not finite (NaN or infinity), so no answer would mean anything. Training "
            "diverged: lower the learning rate, and take an earlier checkpoint."
        )
    return scores


def _known_of(graph: Graph, pattern: tuple[int | None, int | None, int | None]) -> pl.DataFrame:
    """id, known: what fills the None of the pattern in known triples, with the first split that says so."""
    schema = {"id": pl.Int64, "known": pl.String}
    parts = [pl.DataFrame(schema=schema)]
    for split, triples in graph.splits.items():
        match = torch.ones(len(triples), dtype=torch.bool)
        for column, value in enumerate(pattern):
            if value is not None:
                match &= triples[:, column] == value
        ids = triples[match, pattern.index(None)]
        parts.append(pl.DataFrame({"id": ids.numpy(), "known": [split] * len(ids)}, schema))
    return pl.concat(parts).unique("id", keep="first", maintain_order=True)


def _table(scores: Tensor, names: pl.Series, facts: pl.DataFrame, top_k: int, known: Known) -> pl.DataFrame:
    order = torch.sort(scores, descending=True, stable=True).indices
    if known == "drop":
        keep = torch.ones(len(scores), dtype=torch.bool)
        keep[torch.from_numpy(facts["id"].to_numpy(writable=True))] = False
        order = order[keep[order]]
    order = order[:top_k]
    ids = pl.Series("id", order.numpy())
    frame = pl.DataFrame({"id": ids, "label": names.gather(ids), "score": scores[order].numpy()})
    frame = frame.join(facts, on="id", how="left", maintain_order="left")
    return frame.select(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64), label="label", score="score", known="known")


def score(graph: Graph, scoring: Scorer, triples: Sequence[tuple[str, str, str]] | pl.DataFrame) -> pl.DataFrame:
    """Scores of triples given by label, in their order: head, relation, tail, tail_score, head_score, score, known.

    triples: (head, relation, tail) labels, or a frame with columns of these names. tail_score, head_score: the two
    directions of asking, see `Directions`. score: their mean. known: the first split that holds the triple, else null.
    Scores rank answers of one question; they are no probabilities.

    Raises UserError for an unknown label (naming the triple), another shape, or scores that are not finite.
    """
    asked = _label_frame(triples)
    ids = torch.stack(
        [labels.find_all(graph, "relation" if name == "relation" else "entity", asked[name]) for name in COLUMNS],
        1,
    )
    scores = directions(graph, scoring, ids)
    ways = {"tail_score": scores.tail, "head_score": scores.head, "score": scores.mean}
    values = pl.DataFrame({name: way.numpy() for name, way in ways.items()})
    return pl.concat([asked, values, _known_triples(graph, ids).to_frame()], how="horizontal")


def _label_frame(triples: Sequence[tuple[str, str, str]] | pl.DataFrame) -> pl.DataFrame:
    expected = "score takes (head, relation, tail) labels, or a frame with the columns head, relation and tail"
    if isinstance(triples, pl.DataFrame):
        if missing := [name for name in COLUMNS if name not in triples.columns]:
            raise UserError(f"{expected}; the frame has no {' and no '.join(missing)}.")
        return triples.select(pl.col(name).cast(pl.String) for name in COLUMNS)
    rows = [(triple,) if isinstance(triple, str) else tuple(triple) for triple in triples]
    for place, row in enumerate(rows):
        if len(row) != 3 or not all(isinstance(label, str) for label in row):
            raise UserError(f"{expected}; got {triples[place]!r} as triple {place + 1}.")
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


def _known_triples(graph: Graph, triples: Tensor) -> pl.Series:
    asked = pl.DataFrame(triples.numpy(), schema=list(COLUMNS))
    found = pl.lit(None, dtype=pl.String)
    for split, facts in reversed(list(graph.splits.items())):
        held = pl.DataFrame(facts.numpy(), schema=list(COLUMNS)).join(asked, on=COLUMNS, how="semi").unique()
        asked = asked.join(
            held.with_columns(pl.lit(True).alias(f"in {split}")), on=COLUMNS, how="left", maintain_order="left"
        )
        found = pl.when(pl.col(f"in {split}")).then(pl.lit(split)).otherwise(found)
    return asked.select(found.alias("known")).to_series()
