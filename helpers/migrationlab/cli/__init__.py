"""The command ``migrationlab``: its verbs, and what happens to every error.

A verb prints its answer on standard output and everything else on standard error. Exit status
0: done; 1: the lab or a host is broken or refused; 2: the call itself cannot be; 130: Ctrl-C.
Verbs load what they need when they run, so that ``--help`` and tab completion are quick.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from migrationlab.errors import MigrationLabError, PlanError, UsageError

#: Each verb, and the module of this package that has it.
VERBS = {
    "demo": "demo",
    "doctor": "doctor",
    "experiment": "experiment",
    "explain": "explain",
    "export": "export",
    "lab": "lab",
    "migrate": "migrate",
    "plan": "plan",
    "report": "runs",
    "runs": "runs",
}


class Verbs(click.Group):
    """Loads a verb when it is asked for, and turns the kit's errors into words."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs' names."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, or None where there is no such."""
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
            click.echo("migrationlab: the Python package libvirt is not here", err=True)
            click.echo("hint: `make setup` installs it, or pip does: migrationlab[live]", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)


def say_error(error: MigrationLabError, *, in_file: bool = False) -> None:
    """Print an error and its hint on standard error, with the command line's words for settings.

    Args:
        error: The error.
        in_file: Whether the settings were given in a file, whose words they keep.
    """
    from migrationlab.cli.plan_options import in_options  # noqa: PLC0415 (not for --help)

    # A host's own words stay as they are.
    as_option = isinstance(error, PlanError) and not in_file
    click.echo(f"migrationlab: {in_options(str(error)) if as_option else error}", err=True)
    if error.hint:
        click.echo(f"hint: {error.hint if in_file else in_options(error.hint)}", err=True)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="migrationlab")
def main() -> None:
    """Learn, measure and document libvirt live migration.

    Two real hypervisor hosts on this machine, without root: start with `migrationlab demo`, or
    with `migrationlab doctor` if that fails. Tab completion for bash:
    eval "$(_MIGRATIONLAB_COMPLETE=bash_source migrationlab)"
    """
    # What is printed may be piped to a program that goes away.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
