"""The exception for user errors. This module imports nothing, so that a command line starts fast."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input or bad arguments.

    The message is one line: what is wrong, in which file, and what to do. Command lines print it to stderr and exit
    with status 2.
    """
