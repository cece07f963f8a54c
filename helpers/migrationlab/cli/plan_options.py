"""The options of a plan, made from the table of settings, for every verb that takes a plan.

How to use them::

    @click.command(cls=PlanCommand)       # --help lists the options by group
    @plan_options                         # --mode, --migration-uri, … one for each setting
    def verb(*, domain: str, **options: Any) -> None:
        plan = plan_from(options)         # PlanError with all invalid values
        plan, problems = read_options(options)  # or the same, as problems

click reads the values as text. So an invalid value is one of the plan's problems, in the output
format that the user chose, and not click's own message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from migrationlab.cli.options import Command
from migrationlab.plan.parsing import DEFAULT, plan_of_texts
from migrationlab.plan.plan import Plan
from migrationlab.plan.policies import catalog
from migrationlab.plan.problem import Problem, require_none
from migrationlab.plan.settings import Group, Setting, Shape, settings
from migrationlab.plan.wording import quote
from migrationlab.runs.safe_files import MIB, read_file

#: Settings whose option names a file.
FILES = frozenset({"destination_xml", "persistent_xml"})


class PlanCommand(click.Command):
    """A command whose help lists the options of a plan by their groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, then each group of settings."""
        rows: dict[str, list[tuple[str, str]]] = {"Options": []}
        rows |= {group.value: [] for group in Group}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                known = _BY_NAME.get(param.name or "")
                rows[known.group.value if known else "Options"].append(record)
        for title, records in rows.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def plan_options(command: Command) -> Command:
    """Add one option for each setting of a plan to a command."""
    for about in reversed(list(settings())):
        command = _option(about)(command)
    return command


def read_options(options: Mapping[str, Any]) -> tuple[Plan, tuple[Problem, ...]]:
    """Return the plan of a command's options, and the problems of invalid values.

    Other options are ignored.
    """
    texts = {name: options.get(name) for name in _BY_NAME}
    problems = []
    for name in FILES:
        path = texts[name]
        if path is None:
            continue
        try:
            texts[name] = read_file(Path(path), MIB, follow=True).decode()
        except (OSError, ValueError) as error:
            texts[name] = None
            problems.append(
                Problem(
                    name,
                    f"{name} must be a file of XML (got {quote(path)}: {error})",
                    "Write one with `virsh dumpxml --migratable DOMAIN > domain.xml`.",
                    rule="value-text",
                )
            )
    plan, wrong = plan_of_texts(texts)
    return plan, (*wrong, *problems)


def plan_from(options: Mapping[str, Any]) -> Plan:
    """Return the plan of a command's options; PlanError lists all invalid values."""
    plan, problems = read_options(options)
    require_none(problems)
    return plan


def option_name(field: str) -> str:
    """Return the option of a plan's field."""
    return f"--{field.replace('_', '-')}"


def in_options(text: str) -> str:
    """Return a text with the names of settings written as command-line options.

    ``Give parallel=True.`` becomes ``Give --parallel.``, and ``copy_storage='full'`` becomes
    ``--copy-storage full``. A name that is also a plain word is left alone without a value,
    unless it begins a line, as in the reason of a problem.
    """
    return _SAID.sub(_as_option, text)


def in_virsh(text: str) -> str:
    """Return a text with the names of settings written as options of ``virsh migrate``."""
    return _SAID.sub(_as_virsh, text)


def _as_virsh(said: re.Match[str]) -> str:
    name, value = said["name"], (said["value"] or "").strip("'")
    about = _BY_NAME[name]
    flags = {str(flag.state): flag.virsh for flag in about.flags}
    if value in flags:
        return flags[value]
    if value == "False" and "True" in flags:
        return f"no {flags['True']}"
    option = about.virsh or flags.get("True")
    if option is None or (said["value"] is None and "_" not in name):
        either = said["value"] is None and "_" in name and flags
        return " or ".join(flags.values()) if either else said[0]
    words = ",".join(re.findall(r"[^'\s,]+", value.strip("()")))
    switch = "--compressed " if name == "compression" else ""
    return f"{switch}{option} {words}".rstrip()


def _as_option(said: re.Match[str]) -> str:
    name, value = said["name"], said["value"]
    if value is None:
        heads = said.start() == 0 or said.string[said.start() - 1] == "\n"
        return option_name(name) if heads or "_" in name else name
    if value == "True":
        return option_name(name)
    if value == "False":
        return f"--no-{option_name(name)[2:]}"
    words = ",".join(re.findall(r"[^'\s,]+", value.strip("()")))
    return f"{option_name(name)} {words or DEFAULT}"


def _option(about: Setting) -> Callable[[Command], Command]:
    name = option_name(about.name)
    if about.shape is Shape.SWITCH:
        said = f"{name}/--no-{name[2:]}" if about.default else name
        return click.option(said, default=None, is_flag=True, help=_help(about))

    def complete(
        _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _completions(about, incomplete)

    return click.option(name, metavar=_metavar(about), shell_complete=complete, help=_help(about))


def _metavar(about: Setting) -> str:
    if about.name in FILES:
        return "FILE"
    if about.choices:
        return "|".join(about.choices)
    if about.name == "policy":
        return "NAME"
    if about.shape is Shape.TEXT:
        return "URI" if about.name.endswith("uri") else "TEXT"
    if about.shape in (Shape.NAMES, Shape.OPTIONAL_NAMES):
        return "NAME,…"
    if about.shape is Shape.OPTIONS:
        return "NAME=VALUE,…"
    return "N" if about.shape is Shape.WHOLE else "S"


def _completions(about: Setting, incomplete: str) -> list[CompletionItem]:
    """Return the values that start with the typed text."""
    if about.name in FILES:
        return [CompletionItem(incomplete, type="file")]
    before, comma, word = "", "", incomplete
    choices = catalog.names() if about.name == "policy" else about.choices
    if about.shape is Shape.OPTIONAL_NAMES:
        before, comma, word = incomplete.rpartition(",")
        choices = (*choices, *(() if comma else (DEFAULT,)))
    return [
        CompletionItem(f"{before}{comma}{choice}") for choice in choices if choice.startswith(word)
    ]


def _help(about: Setting) -> str:
    default = about.default
    notes = [about.takes] if about.unit and about.low is not None else []
    if default not in (None, (), False, True):
        notes.append(f"default: {f'{default:g}' if isinstance(default, float) else default}")
    if about.name == "compression":
        notes.append(f"the word {DEFAULT} leaves the method to libvirt")
    return in_options(about.meaning) + (f" [{'; '.join(notes)}]" if notes else "")


_BY_NAME = {about.name: about for about in settings()}
#: A setting and its value, alone or within Plan(…).
_SAID = re.compile(
    rf"(?P<plan>Plan\()?(?<![\w-])(?P<name>{'|'.join(sorted(_BY_NAME, key=len, reverse=True))})"
    r"(?:=(?P<value>\([^()]*\)|'[^']*'|True|False|\d+))?(?![\w=-])(?(plan)\))"
)
