"""Errors that are addressed to the person who runs falsum."""

from __future__ import annotations


class UserError(ValueError):
    """Something given to falsum cannot be used: a file, a name, a setting.

    The message is one paragraph: where (file:line if there is one), what is wrong, what is legal, how to fix it.
    The command line prints it without a traceback and exits with code 2.
    """


class Interrupted(UserError):
    """Training stopped on request, after a checkpoint."""


def in_range(interval: str, **values: float | None) -> None:
    """Raises ValueError unless every value lies in an interval such as "[0, 1)" or "(0, 100]". None is no value."""
    low, high = (float(end) for end in interval[1:-1].split(","))
    for name, value in values.items():
        above = value is None or (value >= low if interval[0] == "[" else value > low)
        below = value is None or (value <= high if interval[-1] == "]" else value < high)
        if not (above and below):  # NaN is in no interval
            raise ValueError(f"{name} must lie in {interval}, got {value}")
