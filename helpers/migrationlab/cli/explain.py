"""``migrationlab explain``: the meaning of an error message, its reporter, and the fix.

Prints the explanation, and the ends of a running lab's logs if they can say more.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Literal

import click

from migrationlab.cli.options import Format, answer, format_option
from migrationlab.cli.terminal import echo
from migrationlab.errors import LabError, UsageError
from migrationlab.explain.convergence import explain_job
from migrationlab.explain.explanation import Cause, Explanation, NoticedBy, causes
from migrationlab.explain.explanation import explain as explained
from migrationlab.hosts.logs import LogTail, log_tails

_DIALLERS = {"normal": NoticedBy.CLIENT, "peer2peer": NoticedBy.SOURCE_DAEMON}


@click.command()
@click.argument("words", metavar="TEXT...", nargs=-1)
@click.option("--code", type=int, help="libvirt's number for the error (VIR_ERR_*).")
@click.option("--domain", type=int, help="libvirt's number for its origin (VIR_FROM_*).")
@click.option(
    "--mode",
    type=click.Choice(list(_DIALLERS)),
    help="The migration's mode: it says who connects to the destination's libvirtd.",
)
@click.option("--lab", "lab_name", metavar="NAME", help="Show the logs of this lab.")
@click.option("--list", "as_list", is_flag=True, help="List all known causes.")
@format_option
@click.pass_context
def explain(
    context: click.Context,
    words: tuple[str, ...],
    code: int | None,
    domain: int | None,
    mode: Literal["normal", "peer2peer"] | None,
    lab_name: str | None,
    as_list: bool,
    output_format: Format,
) -> None:
    """Explain TEXT, an error of libvirt or QEMU; "-" reads it from standard input.

    TEXT can be more than the message: a whole log of up to 16 MiB, JSON, a Python traceback, or
    what a management layer wrapped around the message. The answer quotes the line that it rests
    on. TEXT can also be the progress of a migration: what `virsh domjobinfo`, `virsh migrate
    --verbose`, QEMU's monitor or a Proxmox task printed. Then the answer is whether it converges.

    The ends of a running lab's logs follow where they can say more. Exit status 0 if the error is
    known, also where only its side or phase is, and 1 if it is not.
    """
    if as_list:
        width = max(len(cause.id) for cause in causes())
        lines = [f"{cause.id:<{width}}  {cause.cause}" for cause in causes()]
        answer(output_format, {"causes": [_about(cause) for cause in causes()]}, "\n".join(lines))
        return
    text = _from_stdin() if words == ("-",) else " ".join(words)
    if not text.strip() and code is None:
        raise UsageError(
            "TEXT must be an error message (got nothing)",
            hint='Give the message: migrationlab explain "error: …", or - to read standard input.',
        )
    found = explained(text, code=code, domain=domain, opened_by=_DIALLERS[mode] if mode else None)
    job = explain_job(text) if code is None else None
    tails = _tails(found, lab_name)
    record = {**found.to_dict(), "tails": [dataclasses.asdict(tail) for tail in tails]}
    if job is not None:
        record["job"] = job.to_dict()
    answer(output_format, record, "\n\n".join([str(job or found), *map(str, tails)]))
    context.exit(0 if found.known else 1)


def _from_stdin() -> str:
    # Read bytes: a log can hold bytes that are not text.
    return sys.stdin.buffer.read().decode(errors="replace")


def _tails(found: Explanation, lab_name: str | None) -> tuple[LogTail, ...]:
    """Return the ends of the running lab's logs that the explanation names."""
    if not found.logs and lab_name is None:
        return ()
    from migrationlab.lab import registry
    from migrationlab.lab.layout import HOST_NAMES

    if lab_name is None:
        try:
            names = registry.names()
        except (LabError, OSError):
            return ()  # no lab can run on this machine, and an explanation needs none
        if len(names) > 1:
            echo(
                f"running labs: {', '.join(names)}; give --lab NAME to see the logs of one",
                err=True,
            )
        if len(names) != 1:
            return ()
        (lab_name,) = names
    else:
        registry.state(lab_name)  # refuses a name that no lab has
    files = registry.files(lab_name)
    return tuple(
        tail for host in HOST_NAMES for tail in log_tails(host, files.host(host).log, found.logs)
    )


def _about(cause: Cause) -> dict[str, object]:
    return {
        "id": cause.id,
        "kind": cause.kind.value,
        "noticed_by": cause.noticed_by and cause.noticed_by.value,
        "cause": cause.cause,
        "mend": cause.fix,
        "versions": cause.versions,
        "wordings": list(cause.wordings),
        "codes": sorted({*cause.codes, *cause.sufficient_codes}),
        "seen": cause.seen,
    }
