"""Run a program of this machine to its end; no other module does so.

A program that fails, is missing or takes too long gives a result too, not an exception. Programs
with a dialogue are started by their owners.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: The exit status of a program that could not be started or was killed because it took too long:
#: the shell's status for "command not found".
NOT_RUN = 127


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """The result of one program.

    Attributes:
        status: Its exit status, or :data:`NOT_RUN`; then ``stderr`` is the reason.
        output: Its standard output as bytes.
    """

    status: int
    stdout: str
    stderr: str = ""
    output: bytes = field(default=b"", repr=False, compare=False)

    @property
    def text(self) -> str:
        """Return the output; for a failed program without any, the last line of its errors."""
        said = self.stdout.rstrip()  # the first line of a table may be indented
        return said if said or self.status == 0 else self.stderr.strip().rpartition("\n")[2].strip()

    @property
    def complaint(self) -> str:
        """Return all of its errors on one line, or its output where it has no errors."""
        return " ".join((self.stderr.strip() or self.stdout).split())


def run_program(
    argv: Sequence[str],
    *,
    timeout_s: float = 30,
    text: str = "",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> ProgramResult:
    """Run a program until it ends, with ``text`` on its standard input.

    Its folder and its environment are by default this process's.
    """
    try:
        done = subprocess.run(
            argv,
            input=text.encode(),
            capture_output=True,
            timeout=timeout_s,
            cwd=cwd,
            env=env,
            check=False,
        )
    except FileNotFoundError as error:
        return ProgramResult(NOT_RUN, "", f"{error.filename}: not found")
    except OSError as error:
        return ProgramResult(NOT_RUN, "", f"{argv[0]}: {error.strerror}")
    except subprocess.TimeoutExpired:
        return ProgramResult(NOT_RUN, "", f"{argv[0]}: no answer within {timeout_s:g} s")
    stdout, stderr = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return ProgramResult(done.returncode, stdout, stderr, done.stdout)
