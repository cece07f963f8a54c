"""Programs that are run to their end, and what becomes of them."""

from __future__ import annotations

import sys
from pathlib import Path

from migrationlab.hosts.program import NOT_RUN, ProgramResult, run_program


def test_program_gets_text_folder_and_environment(tmp_path: Path) -> None:
    """Standard input, the working folder and the environment are those that are given."""
    script = "import os, sys; print(sys.stdin.read(), os.getcwd(), os.environ['X'], sep='|')"
    done = run_program(
        [sys.executable, "-c", script], text="a", cwd=tmp_path, env={"X": "b"}, timeout_s=30
    )
    assert (done.status, done.text) == (0, f"a|{tmp_path}|b")


def test_output_is_kept_as_bytes() -> None:
    """Bytes that are not UTF-8 are replaced in the text, and kept in the output."""
    done = run_program(["printf", "\\377"])
    assert (done.output, done.stdout) == (b"\xff", "\N{REPLACEMENT CHARACTER}")


def test_missing_program_is_not_run() -> None:
    """The result names the program."""
    done = run_program(["no-such-program", "--help"])
    assert (done.status, done.complaint) == (NOT_RUN, "no-such-program: not found")


def test_complaint_is_on_one_line() -> None:
    """All errors are joined; without errors the output takes their place."""
    assert ProgramResult(1, "out", " one\n two\n").complaint == "one two"
    assert ProgramResult(1, "out\n").complaint == "out"
