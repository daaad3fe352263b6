"""The unified view of Kamigaito & Hayashi (ACL 2021), executable: to what a loss and a noise make scores converge."""

from falsum.theory.bregman import NS, SCE, Generator, divergence
from falsum.theory.tabular import Problem, curvature, graph_of, over_every_draw, problem, solve

__all__ = [
    "NS",
    "SCE",
    "Generator",
    "Problem",
    "curvature",
    "divergence",
    "graph_of",
    "over_every_draw",
    "problem",
    "solve",
]
