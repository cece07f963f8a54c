"""The options that the verbs share."""

from __future__ import annotations

from typing import Literal

import click

from migrationlab.errors import UsageError
from migrationlab.uris import Mode, judge_connection_uri

Format = Literal["text", "json"]

format_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text to read, or one JSON object.",
)


def require_connection_uri(option: str, uri: str) -> None:
    """Refuse what libvirt would take for something else, or not at all.

    ``tcp://node1``, say, is a migration URI, and libvirt would ask for TLS certificates. A URI of
    this machine is no mistake here, and libvirt's test driver is for tests.

    Args:
        option: Where it was given, as ``--from``.
        uri: The URI.

    Raises:
        UsageError: It is no connection URI; the hint has one that would do, where there is one.
    """
    if uri.startswith(("qemu:///", "test:///")):
        return
    for problem in judge_connection_uri(uri, Mode.NORMAL):
        # Both ends are given in this way.
        reason = problem.reason.replace("the destination's libvirtd", "the host's libvirtd")
        raise UsageError(f"{option}: {reason}", hint=problem.hint)
