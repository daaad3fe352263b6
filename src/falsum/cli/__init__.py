"""The commands, by subject. Importing them makes `falsum.cli.console.app` whole."""

from falsum.cli import comparison, graphs, runs, studies, theory
from falsum.cli.console import app, err

__all__ = ["app", "comparison", "err", "graphs", "runs", "studies", "theory"]
