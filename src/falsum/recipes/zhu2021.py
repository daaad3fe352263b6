"""Zhu et al. (NeurIPS 2021), Neural Bellman-Ford Networks: the settings that were released for two graphs.

Their batch of 64 (or 32) triples on a device is asked once for each triple, half of them for the tail and half for the
head. Here every triple of a step is asked from both sides: half the triples a step make as many questions, and half the
epochs as many steps. The published numbers are those of four devices, so of batches four times as large:
`--set train.batch_size=128` (64 on WN18RR) follows them.

What follows their code: 32 uniform negatives that are no known training answers; weights softmax(score / T) of the
negatives, T = 0.5 (1 on WN18RR); the best of ten validations. Their factor 1/2 on the loss is left out, which Adam does
not see. They count ties against the answer: `falsum evaluate RUN --protocol kbc` does so.

None of these was run by us to its end: on two CPU cores a step on FB15k-237 takes minutes.
"""

from __future__ import annotations

from typing import Any

from falsum.recipe.settings import Recipe, read

CELLS: dict[str, dict[str, Any]] = {
    "zhu2021/fb15k-237": {"temperature": 0.5, "triples": 64, "dependent": True, "remove_one_hop": True},
    "zhu2021/wn18rr": {"temperature": 1.0, "triples": 32, "dependent": False, "remove_one_hop": False},
}


def recipe(name: str) -> Recipe:
    """The recipe of one graph."""
    cell = CELLS[name]
    return read(
        {
            "name": name,
            "model": {
                "name": "nbfnet",
                "dim": 32,
                "layers": 6,
                "dependent": cell["dependent"],
                "remove_one_hop": cell["remove_one_hop"],
            },
            "objective": {"name": "self-adversarial", "inverse_temperature": 1 / cell["temperature"]},
            "noise": {"name": "uniform", "num": 32, "filtered": True},
            "optimizer": {"name": "adam", "lr": 5e-3},
            "train": {"epochs": 10, "batch_size": cell["triples"] // 2},
            "validation": {"every": 1, "patience": 0},
        }
    )
