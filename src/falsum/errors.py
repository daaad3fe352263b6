"""Errors that are addressed to the person who runs falsum."""

from __future__ import annotations


class UserError(ValueError):
    """Something given to falsum cannot be used: a file, a name, a setting.

    The message is one paragraph: where (file:line if there is one), what is wrong, what is legal, how to fix it.
    The command line prints it without a traceback and exits with code 2.
    """


class Interrupted(UserError):
    """Training stopped on request, after a checkpoint."""
