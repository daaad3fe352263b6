"""The process `falsum`: Ctrl-C ends it with one line, whatever it is doing."""

from __future__ import annotations

from falsum import cli
from falsum.cli import interrupts


def main() -> None:
    """Run the command line of this process, and leave with its exit code."""
    interrupts.catch()
    try:
        cli.program.run()
    finally:
        interrupts.ignore()


if __name__ == "__main__":
    main()
