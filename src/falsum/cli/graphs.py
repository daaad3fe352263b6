"""Commands about graphs and recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from falsum import recipes
from falsum.cli import tables
from falsum.cli.console import ReadOptions, app, load_graph, out, read_options, show
from falsum.graph import GRAPHS, inspect, load


@app.command()
def graph(
    name: Annotated[str | None, typer.Argument(help="A graph by name, folder or file; none lists the names.")] = None,
    read: ReadOptions = None,
) -> None:
    """What is in a graph, and what is odd about it: duplicates, leaks between splits, entities unseen in training.

    Example: falsum graph wn18rr
    """
    if name is None:
        for named in GRAPHS:
            out.print(f"{named.name:14s} {', '.join(named.aliases)}", markup=False)
        return
    show(*tables.inspection(inspect(load_graph(name, **read_options(read)))))


@app.command(name="recipes")
def show_recipes(
    name: Annotated[str | None, typer.Argument(help="A recipe to show as TOML; none lists the names.")] = None,
    on: Annotated[str, typer.Option(help="The graph that sizes follow.")] = "world",
) -> None:
    """List the recipes, or show one whole.

    Example: falsum recipes default --on wn18rr
    """
    if name is None:
        for each in recipes.names():
            out.print(each, markup=False)
        return
    out.print(recipes.recipe(name, load(on)).to_toml(), markup=False)
