"""Recipes for any graph: `default`, strong and quick, and `strong`, which takes longer.

ComplEx with inverse relations, softmax over all entities, Adagrad and the N3 penalty (Lacroix et al. 2018); sizes
follow the graph.
"""

from __future__ import annotations

from falsum.graph.graph import Graph
from falsum.recipe import Recipe, read


def default(graph: Graph) -> Recipe:
    """Good accuracy in minutes on two cores for graphs up to the size of FB15k-237 and WN18RR."""
    return _complex(graph, name="default", dim=_dim(graph, 512), epochs=50, every=5, patience=3)


def strong(graph: Graph) -> Recipe:
    """Larger rows and more epochs than `default`: the accuracy of the published records, in hours."""
    return _complex(graph, name="strong", dim=_dim(graph, 2000), epochs=100, every=5, patience=4)


def _complex(graph: Graph, *, name: str, dim: int, epochs: int, every: int, patience: int) -> Recipe:
    return read(
        {
            "name": name,
            "model": {"name": "complex", "dim": dim},
            "objective": {"name": "softmax"},
            "noise": {"name": "all"},
            "penalty": [{"name": "n3", "weight": _penalty(graph)}],
            "optimizer": {"name": "adagrad", "lr": 0.1},
            "init": {"entity": {"name": "normal", "std": 1e-3}, "relation": {"name": "normal", "std": 1e-3}},
            "train": {"epochs": epochs, "batch_size": _batch(graph), "inverses": True},
            "validation": {"every": every, "patience": patience},
        }
    )


def _triples_per_entity(graph: Graph) -> float:
    return len(graph.splits["train"]) / max(1, graph.num_entities)


def _penalty(graph: Graph) -> float:
    """Sparse graphs need more: 0.1 below five triples per entity (as published for WN18RR), else 0.05 (FB15k-237)."""
    return 0.1 if _triples_per_entity(graph) < 5 else 0.05


def _dim(graph: Graph, most: int) -> int:
    """Reals per entity: `most`, less where the graph is too small to fill them."""
    return min(most, 64 if graph.num_entities < 1000 else 128 if graph.num_entities < 5000 else most)


def _batch(graph: Graph) -> int:
    """About 100 to 500 steps per epoch, between 100 and 1000 triples each."""
    return int(min(500, max(100, len(graph.splits["train"]) // 100)))
