"""Make command-line options from the fields of a spec (``plan.spec``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from migrationlab.cli.options import Command
from migrationlab.plan.spec import Option, options


def spec_options(spec: type, *, defaults: bool = True) -> Callable[[Command], Command]:
    """Give a command an option for each field of a spec.

    Without ``defaults``, an option that is not given is None.
    """

    def decorate(command: Command) -> Command:
        # click shows the options in the opposite order of their decorators.
        for about in reversed(options(spec)):
            command = _option(about, defaults=defaults)(command)
        return command

    return decorate


def _option(about: Option, *, defaults: bool) -> Callable[[Command], Command]:
    name = f"--{about.name.replace('_', '-')}"
    if about.kind is bool:
        return click.option(name, is_flag=True, help=about.help)
    kinds: dict[type | None, Any] = {
        None: click.Choice(about.choices),
        int: click.INT,
        str: click.STRING,
    }
    absent = about.absent and about.default is None
    return click.option(
        name,
        type=kinds.get(about.kind, _number_of(about)),
        metavar="|".join(["NUMBER", *about.choices]) if about.kind is float else None,
        default=about.default if defaults else None,
        show_default=defaults and about.default is not None,
        help=f"{about.help}  [default: {about.absent}]" if absent else about.help,
    )


def _number_of(about: Option) -> Callable[[str | float], str | float]:
    def number(text: str | float) -> str | float:
        # The range is checked with the whole spec.
        if isinstance(text, str) and text in about.choices:
            return text
        try:
            return float(text)
        except ValueError as error:
            raise click.BadParameter(f"must be {about.allowed} (got {text!r})") from error

    return number
