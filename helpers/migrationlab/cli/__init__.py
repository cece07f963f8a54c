"""The command ``migrationlab``: its verbs, and how errors reach the user.

A verb prints its answer on standard output and everything else on standard error. Exit status:
0 done; 1 the lab broke, or a host refused; 2 the call is wrong; 3 done,
but a run that cannot be read was left out; 130 Ctrl-C. A verb's module and
what it needs are loaded when the verb runs, so ``--help`` and tab completion are quick.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from migrationlab.cli.terminal import echo, message
from migrationlab.errors import MigrationLabError, PlanError, UsageError

#: Each verb, and its module in this package.
VERBS = {
    "advise": "advise",
    "calibrate": "calibrate",
    "battery": "battery",
    "demo": "demo",
    "dirty-rate": "dirty_rate",
    "doctor": "doctor",
    "experiment": "experiment",
    "explain": "explain",
    "export": "runs",
    "faults": "fault_matrix",
    "forecast": "forecast",
    "gate": "gate",
    "lab": "lab",
    "matrix": "matrix",
    "migrate": "migrate",
    "pairs": "pairs",
    "plan": "plan",
    "policies": "policies",
    "recover": "recover",
    "report": "runs",
    "runs": "runs",
}


class Verbs(click.Group):
    """Load a verb when it is called, and print migrationlab's errors as text."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs' names."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, or None if it does not exist."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"migrationlab.cli.{VERBS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command; a standard output that is closed or full is an error of this machine."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                # A pipe's reader can end early; a terminal's encoding can lack a character.
                stream.reconfigure(line_buffering=True, errors="backslashreplace")
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF):
                raise
            with contextlib.suppress(OSError, ValueError):
                echo(f"migrationlab: writing the answer failed: {error.strerror}", err=True)
            # Python writes the rest when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the words before a verb."""
        with _printable_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            with _printable_errors():
                return super().invoke(ctx)
        except MigrationLabError as error:
            say_error(error)
            ctx.exit(2 if isinstance(error, UsageError) else 1)
        except ModuleNotFoundError as error:
            if error.name != "libvirt":
                raise
            echo("migrationlab: the Python package libvirt is not installed", err=True)
            echo("hint: run `make setup`, or `pip install migrationlab[live]`", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            echo("interrupted", err=True)
            ctx.exit(130)


@contextlib.contextmanager
def _printable_errors() -> Iterator[None]:
    """Make click's own errors, which repeat the words of the call, printable and short."""
    try:
        yield
    except click.ClickException as error:
        error.__dict__["message"] = message(error.message)  # mypy: click calls it final
        raise


def say_error(error: MigrationLabError, *, in_file: bool = False) -> None:
    """Print an error and its hint on standard error, with settings written as options.

    Settings that come ``in_file`` keep their names.
    """
    from migrationlab.cli.plan_options import in_options

    # A host's own message stays unchanged.
    as_option = isinstance(error, PlanError) and not in_file
    echo(f"migrationlab: {in_options(str(error)) if as_option else error}", err=True)
    if error.hint:
        echo(f"hint: {error.hint if in_file else in_options(error.hint)}", err=True)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="migrationlab")
def main() -> None:
    """Learn, measure and document libvirt live migration.

    Start with `migrationlab demo`: it runs two real hypervisor hosts on this machine, without
    root. If it fails, run `migrationlab doctor`. Tab completion for bash:
    eval "$(_MIGRATIONLAB_COMPLETE=bash_source migrationlab)"
    """
