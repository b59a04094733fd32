"""The command-line parser and the runner that all commands share.

Every command exits with 0 on success, 2 for bad input or arguments, 1 for a failure of the disk or the program, 130
after Ctrl-C and 143 after SIGTERM, and reports the reason in one line on stderr. Heavy modules must not be imported
here: `vidamodal --help` has to start in half a second.
"""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import jsonargparse

from vidamodal.errors import InputError

_BASIC_TYPES = (str, int, float, bool, Path)
_KEY = re.compile(r'Parser key "([^"]+)":\s*')
_REQUIRED = re.compile(r"arguments are required: (.*)")
_EXPECTED = re.compile(r"Expected an? <class '(\w+)'>\. Got value: (.*)")
_PARAMETER = re.compile(r"\b([a-z_]+)=(?=[\s,.;:)]|$)")
"""A parameter of the Python API in an error message, such as "points="."""
MAX_NOTES = 12
"""Notes that a command prints; a data set may have one for every video."""


def with_option_names(message: str) -> str:
    """Return a message of the Python API with options in place of parameters: "--points" for "points="."""
    return _PARAMETER.sub(lambda match: f"--{match[1].replace('_', '-')}", message)


def print_notes(notes: Sequence[str]) -> None:
    """Print notes on how an input was understood on stderr, one line each; all but the first twelve are counted."""
    for note in notes[:MAX_NOTES]:
        print(f"note: {printable(note)}", file=sys.stderr)
    if len(notes) > MAX_NOTES:
        print(f"note: and {len(notes) - MAX_NOTES} more of this kind", file=sys.stderr)


def printable(text: str) -> str:
    """Return a text, which may hold names from files, with escapes in place of what could control a terminal."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


class HelpFormatter(jsonargparse.DefaultHelpFormatter):
    """Help that keeps the line breaks of descriptions and leaves out obvious types and empty defaults."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" not in text.strip():
            return super()._fill_text(text, width, indent)
        return "".join(indent + line for line in text.strip("\n").splitlines(keepends=True))

    def _get_help_string(self, action: argparse.Action) -> str:
        is_obvious = action.default is None or action.default is False or action.default in (argparse.SUPPRESS, [])
        default, required = action.default, action.required
        if isinstance(action, argparse._HelpAction) or not action.option_strings:
            action.required = False  # positional arguments are required anyway
        if is_obvious:
            action.default = argparse.SUPPRESS
        try:
            return super()._get_help_string(action)
        finally:
            action.default, action.required = default, required

    def _get_type_str(self, action: argparse.Action) -> str | None:
        hint = getattr(action, "_typehint", None) or action.type
        is_plain = hint in _BASIC_TYPES or (not isinstance(hint, type) and callable(hint) and hasattr(hint, "__code__"))
        return None if is_plain else super()._get_type_str(action)


class Parser(jsonargparse.ArgumentParser):
    """A parser that reports an error in one line on stderr and exits with status 2.

    It accepts what `jsonargparse.ArgumentParser` and `argparse.ArgumentParser` accept.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", HelpFormatter)
        kwargs.setdefault("allow_abbrev", True)
        super().__init__(*args, **kwargs)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message with the program's name and exit with status 2."""
        parser = getattr(ex, "subcommand_parser", None) or self._command_of(message)
        program = parser.prog.replace(" [options]", "")
        sys.stderr.write(f"{program}: {self._plain_message(message)}; see {program} --help\n")
        sys.exit(2)

    def _command_of(self, message: str) -> Parser:
        """The parser of the command that lacks an argument, or this one."""
        missing = _REQUIRED.search(message)
        parsers: dict[str, Parser] = getattr(self._subcommands_action, "_name_parser_map", {})
        return parsers.get(missing[1].partition(".")[0], self) if missing else self

    def _plain_message(self, message: str) -> str:
        """The message of jsonargparse in one line, with options in place of its keys."""
        if missing := _REQUIRED.search(message):
            names = [self._option_name(key) for key in missing[1].split(", ")]
            message = message.replace(missing[1], ", ".join(names))
        message = _KEY.sub(lambda match: f"argument {self._option_name(match[1])}: ", message)
        message = _EXPECTED.sub(r"expected \1, not '\2'", message)
        return " ".join(message.split()).rstrip(".")

    def _option_name(self, key: str) -> str:
        """The option that sets a key: "--seed" for "predict.seed"; the key itself for a positional argument."""
        command, _, rest = key.partition(".")
        parsers: dict[str, Any] = getattr(self._subcommands_action, "_name_parser_map", {})
        if command in parsers and rest:
            nested: Parser = parsers[command]
            return nested._option_name(rest)
        action = next((action for action in self._actions if action.dest == key), None)
        return action.option_strings[-1] if action and action.option_strings else key

    def _check_value_key(self, action: argparse.Action, value: Any, key: str, *args: Any, **kwargs: Any) -> Any:
        # jsonargparse converts the values of plain argparse types a second time when it validates them.
        is_converted = action.type is not None and not hasattr(action, "_check_type") and not isinstance(value, str)
        return value if is_converted else super()._check_value_key(action, value, key, *args, **kwargs)


class Terminated(SystemExit):
    """Raised in the main thread on SIGTERM, so that temporary files are removed."""


def run_command(command: Callable[[], int | None], program: str, hint: str = "") -> int:
    """Run a command and return its exit status.

    Args:
        command: The command; its return value is the exit status, None for 0.
        program: The name that starts the line on stderr.
        hint: What to do after a failure or an interruption, such as "the same command resumes".
    """
    advice = f"; {hint}" if hint else ""
    atexit.register(gc.freeze)  # or Python would search all modules for garbage at its end, for half a second
    try:
        with _handle_sigterm():
            return command() or 0
    except InputError as error:
        return _report(program, str(error), 2)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG and error.filename is not None:
            name = str(error.filename)
            message = f"{name[:60]}...: a path of {len(name)} characters is too long. Pass a shorter one."
            return _report(program, message, 2)
        return _report(program, f"failed: {error}{advice}", 1)
    except RuntimeError as error:
        return _report(program, f"failed: {error}{advice}", 1)
    except KeyboardInterrupt:
        return _report(program, f"stopped{advice}", 130)
    except Terminated:
        return _report(program, f"stopped{advice}", 143)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Import without searching for garbage again and again, which takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _report(program: str, message: str, status: int) -> int:
    print(f"{program}: {printable(' '.join(message.split()))}", file=sys.stderr)
    return status


@contextmanager
def _handle_sigterm() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM. Does nothing outside the main thread, which receives no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def terminate(number: int, _frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker: it ends as if there were no handler
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise Terminated(143)

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
