"""Recipes by name: general ones that follow the graph's size, and one module per reproduced paper."""

from __future__ import annotations

import difflib

from falsum.errors import UserError
from falsum.graph.graph import Graph
from falsum.recipe.settings import Recipe
from falsum.recipes import general, kamigaito2021, zhu2021

GENERAL = {"default": general.default, "strong": general.strong, "nbfnet": general.nbfnet}
PAPERS = (kamigaito2021, zhu2021)


def names() -> list[str]:
    """Every recipe name."""
    return [*GENERAL, *(name for paper in PAPERS for name in paper.CELLS)]


def recipe(name: str, graph: Graph) -> Recipe:
    """The recipe `name` for a graph. Raises UserError with the closest legal names."""
    if name in GENERAL:
        return GENERAL[name](graph)
    for paper in PAPERS:
        if name in paper.CELLS:
            return paper.recipe(name)
    close = difflib.get_close_matches(name, names(), n=3, cutoff=0.4) or names()[:3]
    raise UserError(
        f"There is no recipe {name!r}. Close names: {', '.join(close)}. `falsum recipes` lists all; a file of your own "
        "must end in .toml."
    )
