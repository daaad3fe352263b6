"""Rows by label: neighbours, embeddings and exports."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.files import whole
from falsum.graph.graph import Graph
from falsum.predict import labels
from falsum.scan.scoring import Scorer

Format = Literal["parquet", "tsv"]

# Reals that one block of gathered or compared rows may hold: 16 MiB.
BLOCK = 1 << 22


@torch.no_grad()
def neighbors(graph: Graph, scoring: Scorer, label: str, top_k: int = 10) -> pl.DataFrame:
    """The entities whose rows are most like the row of `label`, best first: rank, label, similarity.

    similarity is the cosine for models that compare by inner product, and minus the Euclidean distance for distance
    models (TransE, RotatE), whose rows have no meaningful origin. The entity itself is left out.

    Raises UserError for an unknown label or top_k < 1.
    """
    if not isinstance(top_k, int) or top_k < 1:
        raise UserError(f"top_k is the number of neighbours wanted, at least 1; got {top_k!r}.")
    own = labels.find(graph, "entity", label)
    table = scoring.table("entities")
    alike = _cosine if scoring.model.compare.linear else _minus_euclidean
    row = table.values[own]
    similarity = torch.cat([alike(rows, row) for _, rows in table.blocks(max(1, BLOCK // table.width))]).cpu()
    order = torch.sort(similarity, descending=True, stable=True).indices
    order = order[order != own][:top_k]
    frame = pl.DataFrame(
        {"label": graph.entities.gather(pl.Series(order.numpy())), "similarity": similarity[order].numpy()}
    )
    return frame.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("rank"), pl.all())


def _cosine(rows: Tensor, row: Tensor) -> Tensor:
    return torch.cosine_similarity(rows, row[None], dim=1)


def _minus_euclidean(rows: Tensor, row: Tensor) -> Tensor:
    return -torch.linalg.vector_norm(rows - row, dim=1)


def embedding(graph: Graph, scoring: Scorer, label: str) -> np.ndarray:
    """(dim,) float32 row of an entity, a copy. Raises UserError for an unknown label."""
    return _row(scoring.table("entities").values, labels.find(graph, "entity", label))


def relation_embedding(graph: Graph, scoring: Scorer, label: str) -> np.ndarray:
    """(relation width,) float32 row of a relation, a copy; a relation that is a matrix comes in row-major order.

    Raises UserError for an unknown label.
    """
    inverse = (graph.relations[graph.num_base_relations :] == label).arg_true()
    if len(inverse):
        return _row(scoring.table("relations").values, graph.num_base_relations + int(inverse[0]))
    return _row(scoring.table("relations").values, labels.find(graph, "relation", label))


def _row(weight: Tensor, at: int) -> np.ndarray:
    return weight[at].cpu().numpy().copy()


def export(graph: Graph, scoring: Scorer, folder: str | Path, format: Format = "parquet") -> tuple[Path, Path]:
    """Write entity and relation rows with their labels: the two paths, entities.* and relations.*.

    parquet: columns label and row (an array of float32). tsv: label and then the reals, tab-separated, no header.
    Relations include inverse relations. Each file is written whole or not at all; memory is bounded for tsv.

    Raises UserError for another format, or when a file cannot be written.
    """
    if format not in ("parquet", "tsv"):
        raise UserError(f'format is "parquet" or "tsv"; got {format!r}.')
    tables = {
        "entities": (graph.entities, scoring.table("entities")),
        "relations": (graph.relations, scoring.table("relations")),
    }
    paths = []
    for name, (names, table) in tables.items():
        path = Path(folder) / f"{name}.{format}"
        write = _write_parquet if format == "parquet" else _write_tsv
        with whole(path) as temporary:
            write(temporary, names, table.values)
        paths.append(path)
    return paths[0], paths[1]


def _write_parquet(path: Path, names: pl.Series, weight: Tensor) -> None:
    rows = pl.Series("row", weight.cpu().numpy(), dtype=pl.Array(pl.Float32, weight.shape[1]))
    pl.DataFrame({"label": names, "row": rows}).write_parquet(path)


def _write_tsv(path: Path, names: pl.Series, weight: Tensor) -> None:
    size = max(1, BLOCK // weight.shape[1])
    with path.open("wb") as file:
        for start in range(0, len(weight), size):
            rows = weight[start : start + size]
            block = pl.DataFrame(rows.cpu().numpy(), orient="row").insert_column(
                0, names[start : start + size].alias("label")
            )
            block.write_csv(file, separator="\t", include_header=False)
