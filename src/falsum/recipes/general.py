"""Recipes for any graph: `default`, strong and quick, `strong`, which takes longer, and `nbfnet`.

The first two: ComplEx with inverse relations, softmax over all entities, Adagrad and the N3 penalty (Lacroix et al.
2018), or DURA (Zhang et al. 2020) in `strong` on sparse graphs; sizes follow the graph.
"""

from __future__ import annotations

from typing import Any

from falsum.graph.graph import Graph
from falsum.recipe.settings import Recipe, read


def default(graph: Graph) -> Recipe:
    """Good accuracy in minutes on two cores for graphs up to the size of FB15k-237 and WN18RR."""
    return _complex(graph, name="default", dim=_dim(graph, 512), epochs=50, patience=3, penalty=_n3(graph))


def strong(graph: Graph) -> Recipe:
    """Larger rows and more epochs than `default`, in hours; on sparse graphs with DURA.

    Chosen on validation with 512 reals: on WN18RR DURA is ahead of N3, on FB15k-237 it is not (docs/recipes.md).
    """
    penalty = {"name": "dura", "weight": 0.2, "norms": 0.5, "products": 1.5} if _is_sparse(graph) else _n3(graph)
    return _complex(graph, name="strong", dim=_dim(graph, 2000), epochs=100, patience=4, penalty=penalty)


def nbfnet(graph: Graph) -> Recipe:
    """NBFNet (Zhu et al. 2021) for graphs of some thousand triples, in tens of minutes on a core.

    Three layers, and a softmax over all entities that are no known answers: the network makes a row for each of them
    anyway, and its one pass is what a step costs. Equal questions are not grouped: a batch hides its own facts, and a
    question that hides all of its answers at once never sees how answers of one question go together.
    """
    return read(
        {
            "name": "nbfnet",
            "model": {"name": "nbfnet", "dim": 32, "layers": 3},
            "objective": {"name": "softmax"},
            "noise": {"name": "all", "filtered": True},
            "optimizer": {"name": "adam", "lr": 5e-3},
            "train": {"epochs": 4, "batch_size": 128, "grouped": False},
            "validation": {"every": 1, "patience": 3},
        }
    )


def _complex(graph: Graph, *, name: str, dim: int, epochs: int, patience: int, penalty: dict[str, Any]) -> Recipe:
    return read(
        {
            "name": name,
            "model": {"name": "complex", "dim": dim},
            "objective": {"name": "softmax"},
            "noise": {"name": "all"},
            "penalty": [penalty],
            "optimizer": {"name": "adagrad", "lr": 0.1},
            "init": {"entity": {"name": "normal", "std": 1e-3}, "relation": {"name": "normal", "std": 1e-3}},
            "train": {"epochs": epochs, "batch_size": _batch(graph), "inverses": True},
            "validation": {"every": 5, "patience": patience},
        }
    )


def _is_sparse(graph: Graph) -> bool:
    """Fewer than five training triples per entity."""
    return len(graph.splits["train"]) < 5 * max(1, graph.num_entities)


def _n3(graph: Graph) -> dict[str, Any]:
    """Sparse graphs need more: 0.1, as published for WN18RR, else 0.05 (FB15k-237)."""
    return {"name": "n3", "weight": 0.1 if _is_sparse(graph) else 0.05}


def _dim(graph: Graph, most: int) -> int:
    """Reals per entity: `most`, less where the graph is too small to fill them."""
    return min(most, 64 if graph.num_entities < 1000 else 128 if graph.num_entities < 5000 else most)


def _batch(graph: Graph) -> int:
    """About 100 to 500 steps per epoch, between 100 and 1000 triples each."""
    return int(min(500, max(100, len(graph.splits["train"]) // 100)))
