"""The command ``migrationlab``: its verbs, and how errors reach the user.

A verb prints its answer on standard output and everything else on standard error. Exit status:
0 done; 1 the lab broke, or a host refused; 2 the call is wrong; 130 Ctrl-C. A verb's module and
what it needs are loaded when the verb runs, so ``--help`` and tab completion are quick.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from migrationlab.errors import MigrationLabError, PlanError, UsageError

#: Each verb, and its module in this package.
VERBS = {
    "demo": "demo",
    "doctor": "doctor",
    "experiment": "experiment",
    "explain": "explain",
    "export": "runs",
    "lab": "lab",
    "migrate": "migrate",
    "plan": "plan",
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
        command: click.Command = getattr(module, cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except MigrationLabError as error:
            say_error(error)
            ctx.exit(2 if isinstance(error, UsageError) else 1)
        except ModuleNotFoundError as error:
            if error.name != "libvirt":
                raise
            click.echo("migrationlab: the Python package libvirt is not installed", err=True)
            click.echo("hint: run `make setup`, or `pip install migrationlab[live]`", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)


def say_error(error: MigrationLabError, *, in_file: bool = False) -> None:
    """Print an error and its hint on standard error, with settings written as options.

    Settings that come ``in_file`` keep their names.
    """
    from migrationlab.cli.plan_options import in_options

    # A host's own message stays unchanged.
    as_option = isinstance(error, PlanError) and not in_file
    click.echo(f"migrationlab: {in_options(str(error)) if as_option else error}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint if in_file else in_options(error.hint)}", err=True)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="migrationlab")
def main() -> None:
    """Learn, measure and document libvirt live migration.

    Start with `migrationlab demo`: it runs two real hypervisor hosts on this machine, without
    root. If it fails, run `migrationlab doctor`. Tab completion for bash:
    eval "$(_MIGRATIONLAB_COMPLETE=bash_source migrationlab)"
    """
    # Standard output can be a pipe to a program that ends early.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
