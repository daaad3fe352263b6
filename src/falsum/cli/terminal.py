"""What reaches the terminal: the two consoles, and labels that cannot command it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

# What a terminal obeys or hides instead of showing: control characters (ESC begins a command), their second set, line
# and paragraph separators, embeddings and overrides of the writing direction, halves of surrogate pairs.
COMMANDS = r"\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_ANY = re.compile(f"[{COMMANDS}]")
_WITHIN_LINES = re.compile(rf"(?!\n)[{COMMANDS}]")


def visible(text: str, *, lines: bool = False) -> str:
    """Text in which what a terminal would obey is written out: ESC as \\x1b. lines: newlines stay newlines."""
    return (_WITHIN_LINES if lines else _ANY).sub(lambda found: ascii(found[0])[1:-1], text)


class Terminal(Console):
    """A console that shows labels, whatever is in them, and obeys none."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments whose text is visible; rich's own commands (the cursor, colours) are no text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, lines=True), segment.style)


# No emoji: a label may hold ":cat:". No width where nobody looks: a label cut in two lines could not be searched for.
out = Terminal(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
err = Terminal(stderr=True, highlight=False, emoji=False, soft_wrap=True)


def show(*parts: RenderableType) -> None:
    for part in parts:
        out.print(part)


def say(text: str, console: Console = out) -> None:
    """One line, its brackets and newlines shown as they are: text that may hold names of files, graphs and labels."""
    console.print(Text(visible(text)))
