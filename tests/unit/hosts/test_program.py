"""Programs that are run to their end, and what becomes of them."""

from __future__ import annotations

import sys
from pathlib import Path

from migrationlab.hosts.program import NOT_RUN, ProgramResult, run_program


def test_program_gets_text_folder_and_environment(tmp_path: Path) -> None:
    """A program gets the given standard input, working folder and environment."""
    script = "import os, sys; print(sys.stdin.read(), os.getcwd(), os.environ['X'], sep='|')"
    done = run_program(
        [sys.executable, "-c", script], text="a", cwd=tmp_path, env={"X": "b"}, timeout_s=30
    )
    assert (done.status, done.text) == (0, f"a|{tmp_path}|b")


def test_output_is_kept_as_bytes() -> None:
    """The output keeps bytes that are not UTF-8, and the text has replacements for them."""
    done = run_program(["printf", "\\377"])
    assert (done.output, done.stdout) == (b"\xff", "\N{REPLACEMENT CHARACTER}")


def test_missing_program_is_named() -> None:
    """The result of a missing program names the program."""
    done = run_program(["no-such-program", "--help"])
    assert (done.status, done.complaint) == (NOT_RUN, "no-such-program: not found")


def test_complaint_is_one_line() -> None:
    """The complaint joins all lines of the errors, or of the output if there are no errors."""
    assert ProgramResult(1, "out", " one\n two\n").complaint == "one two"
    assert ProgramResult(1, "out\n").complaint == "out"
