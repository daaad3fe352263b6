"""Slices of ranks: the same counts by relation, cardinality, side and frequency of the answer."""

from __future__ import annotations

import polars as pl
import torch

from falsum.evaluation.metrics import Tie, macro, sliced
from falsum.graph.graph import Graph
from falsum.graph.inspect import relation_infos
from falsum.graph.keys import distinct

# Upper ends of the bands of how many training triples hold an entity; the last band is open.
BAND_ENDS = (0, 1, 3, 10, 100)
BANDS = ("0", "1", "2-3", "4-10", "11-100", "101+")
CARDINALITIES = ("1-1", "1-N", "N-1", "N-N", "not in train")
DIRECTIONS = ("to 1", "to N", "not in train")


def annotate(frame: pl.DataFrame, graph: Graph) -> pl.DataFrame:
    """A rank frame (see `ranks.Ranks`) with the columns that slices are made by, all computed on the train split.

    relation becomes the base relation where the frame holds inverse relations. relation_label. cardinality: "1-1",
    "1-N", "N-1", "N-N", head side first, "N" at 1.5 on average (see `graph.inspect`). direction: whether the asked
    side is the "1" or the "N" of it: "to 1" has about one answer. frequency: band of how many training triples hold
    the answer. Relations that train does not have are "not in train".
    """
    frame = frame.with_columns(pl.col("relation") % graph.num_base_relations)
    answer = pl.when(pl.col("side") == "tail").then(pl.col("tail")).otherwise(pl.col("head"))
    with_bands = frame.with_columns(frequency=pl.lit(entity_bands(graph)).gather(answer))
    joined = with_bands.join(_relation_frame(graph), on="relation", how="left", maintain_order="left")
    written = pl.col("cardinality").cast(pl.String)
    asked_end = pl.when(pl.col("side") == "tail").then(written.str.tail(1)).otherwise(written.str.head(1))
    many = asked_end == "N"
    absent = pl.col("cardinality") == "not in train"
    direction = pl.when(absent).then(pl.lit("not in train")).when(many).then(pl.lit("to N")).otherwise(pl.lit("to 1"))
    return joined.with_columns(direction=direction.cast(pl.Enum(DIRECTIONS)))


def entity_bands(graph: Graph) -> pl.Series:
    """(E,) band of each entity: one of BANDS, by the number of training triples that hold it at either end."""
    train = graph.splits["train"]
    count = torch.bincount(train[:, [0, 2]].flatten(), minlength=graph.num_entities)
    count -= torch.bincount(train[train[:, 0] == train[:, 2], 0], minlength=graph.num_entities)  # a loop is one triple
    band = torch.bucketize(count, torch.tensor(BAND_ENDS))
    return pl.Series("frequency", BANDS, dtype=pl.Enum(BANDS)).gather(pl.Series(band.numpy()))


def _relation_frame(graph: Graph) -> pl.DataFrame:
    infos = relation_infos(graph, distinct(graph.splits["train"])[0])
    classes = [info.cardinality or "not in train" for info in infos]
    return pl.DataFrame(
        {
            "relation": pl.Series(range(len(infos)), dtype=pl.Int64),
            "relation_label": pl.Series([info.label for info in infos], dtype=pl.String),
            "cardinality": pl.Series(classes, dtype=pl.Enum(CARDINALITIES)),
        }
    )


def by_relation(annotated: pl.DataFrame, tie: Tie = "realistic") -> pl.DataFrame:
    """Metrics and count per relation: relation, relation_label, cardinality, count, mrr, ..."""
    return sliced(annotated, ["relation", "relation_label", "cardinality"], tie)


def by_cardinality(annotated: pl.DataFrame, tie: Tie = "realistic") -> pl.DataFrame:
    """Metrics and count per cardinality class and side."""
    return sliced(annotated, ["cardinality", "side"], tie)


def by_direction(annotated: pl.DataFrame, tie: Tie = "realistic") -> pl.DataFrame:
    """Metrics and count of questions with about one answer ("to 1") and with several ("to N")."""
    return sliced(annotated, "direction", tie)


def by_frequency(annotated: pl.DataFrame, tie: Tie = "realistic") -> pl.DataFrame:
    """Metrics and count per band of the answer's frequency in train."""
    return sliced(annotated, "frequency", tie)


def by_side(annotated: pl.DataFrame, tie: Tie = "realistic") -> pl.DataFrame:
    """Metrics and count per side."""
    return sliced(annotated, "side", tie)


def macro_by_relation(annotated: pl.DataFrame, tie: Tie = "realistic") -> dict[str, float]:
    """Metrics averaged over relations, each relation counting the same."""
    return macro(annotated, "relation", tie)


def extremes(
    table: pl.DataFrame, count: int = 5, *, least: int = 5, by: str = "mrr"
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The hardest and the easiest rows of a table with a `count` column, up to `count` each, worst and best first.

    least: rows with fewer ranks are left out, since a handful of ranks says little. A row is never in both.
    """
    ordered = table.filter(pl.col("count") >= least).sort([by, "count"], descending=[False, True], maintain_order=True)
    each = min(count, len(ordered) // 2)
    return ordered.head(each), ordered.tail(each).reverse()
