"""The parser and the runner that all commands share, and what the package imports when it starts."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from vidamodal.commandline import Parser, print_notes, quick_imports, run_command, with_option_names
from vidamodal.errors import InputError

LEAVE = "import contextlib, vidamodal.cli\nwith contextlib.suppress(SystemExit): vidamodal.cli.main("
HEAVY = {"numpy", "pycocotools", "torch", "transformers"}


def toy_parser() -> Parser:
    parser = Parser(prog="toy", description="A toy.", epilog="examples:\n  toy one")
    command = Parser()
    command.add_argument("source", help="what to read")
    command.add_argument("--number", type=int, default=0, help="a number")
    command.add_argument("--path", type=Path, action="append", help="a path")
    command.add_argument("--pair", type=as_pair, default=(0, 1), help="a pair")
    command.add_argument("--out-dir", required=True, help="a folder")
    commands = parser.add_subcommands(dest="command")
    commands.add_subcommand("one", command, help="the only command")
    return parser


def as_pair(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("/")))


def test_options_are_converted_once() -> None:
    words = ["one", "a", "--out-dir", "b", "--path", "x", "--path", "y", "--pair", "2/3"]
    options = toy_parser().parse_args(words)["one"]
    assert options.path == [Path("x"), Path("y")] and options.pair == (2, 3) and options.number == 0
    assert toy_parser().parse_args(["one", "a", "--out-dir", "b"])["one"].pair == (0, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], 'toy: expected "command" to be one of {one}, but it was not provided; see toy --help'),
        (["one", "a"], "toy one: the following arguments are required: --out-dir; see toy one --help"),
        (["one", "a", "--out-dir", "b", "--number", "x"], "toy one: argument --number: expected int, not 'x'"),
        (["one", "a", "--out-dir", "b", "--colour", "x"], "toy one: unrecognized arguments: --colour x"),
    ],
)
def test_an_error_is_one_line_that_names_the_option(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        toy_parser().parse_args(words)
    error = capsys.readouterr().err
    assert left.value.code == 2 and error.startswith(message) and error.count("\n") == 1


def test_the_help_shows_defaults_that_say_something(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        toy_parser().parse_args(["one", "--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0 and "a number (default: 0)" in text and "a folder (required)" in text
    assert "null" not in text and "<class" not in text


def failing(error: BaseException) -> Callable[[], NoReturn]:
    def command() -> NoReturn:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("a\n b"), 2, "toy: a b\n"),
        (
            OSError(errno.ENAMETOOLONG, "too long", "x" * 5000),
            2,
            f"toy: {'x' * 60}...: a path of 5000 characters is too long. Pass a shorter one.\n",
        ),
        (OSError("disk"), 1, "toy: failed: disk; try again\n"),
        (RuntimeError("bug"), 1, "toy: failed: bug; try again\n"),
        (KeyboardInterrupt(), 130, "toy: stopped; try again\n"),
    ],
)
def test_errors_become_a_status_and_a_line(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(failing(error), "toy", "try again") == status
    assert capsys.readouterr().err == line


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError):
        run_command(failing(ZeroDivisionError()), "toy")


def test_sigterm_ends_a_command_after_its_clean_up(capsys: pytest.CaptureFixture[str]) -> None:
    before, cleaned = signal.getsignal(signal.SIGTERM), []

    def command() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(True)

    assert run_command(command, "toy") == 143 and cleaned
    assert capsys.readouterr().err == "toy: stopped\n" and signal.getsignal(signal.SIGTERM) == before


def test_a_forked_worker_ends_by_the_signal_itself() -> None:
    def command() -> int:
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert run_command(command, "toy") == -signal.SIGTERM


def test_commands_run_outside_the_main_thread() -> None:
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(run_command(lambda: 3, "toy")))
    thread.start()
    thread.join()
    assert statuses == [3]


@pytest.mark.parametrize(
    "code",
    [
        "import vidamodal",
        "import vidamodal; vidamodal.__version__, vidamodal.InputError",
        f"{LEAVE}['--help'])",
        f"{LEAVE}['predict', '--help'])",
    ],
    ids=["import", "version", "help", "help of predict"],
)
def test_heavy_modules_are_not_imported_at_the_start(code: str) -> None:
    code += "\nimport sys; print(','.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not HEAVY & set(run.stdout.splitlines()[-1].split(","))


def test_parameters_in_messages_become_options() -> None:
    assert with_option_names("sam=: pass points=, boxes= or allow_missing= too.") == (
        "--sam: pass --points, --boxes or --allow-missing too."
    )
    assert with_option_names("x=3 and config.json") == "x=3 and config.json"


def test_notes_are_printed_and_the_rest_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    print_notes([f"masks: {k}" for k in range(14)])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "note: masks: 0" and len(lines) == 13
    assert lines[-1] == "note: and 2 more of this kind"


def test_names_from_files_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> None:
        raise InputError("\x1b[2Jname\ud800: \u202edamaged")

    print_notes(["a\nb\x07 \u00e9"])
    assert run_command(refuse, "toy") == 2
    assert capsys.readouterr().err == "note: a\\nb\\x07 \u00e9\ntoy: \\x1b[2Jname\\ud800: \\u202edamaged\n"


def test_garbage_is_not_searched_while_modules_are_imported() -> None:
    assert gc.isenabled()
    with quick_imports():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with quick_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
