"""Judge a virsh line, or the flags of a call, for ``migrationlab plan --virsh``."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict, dataclass

from migrationlab.cli.plan_options import in_virsh
from migrationlab.cli.plan_text import (
    answer_text,
    changed,
    named_destination,
    named_host,
    refusal_text,
)
from migrationlab.plan.given_call import GivenCall
from migrationlab.plan.plan import Plan, Problem, validate_domain_name
from migrationlab.plan.read_call import read_call
from migrationlab.plan.uris import is_local

DEFAULT_DOMAIN = "guest"
_UNKNOWN_SOURCE = "the source"


@dataclass(frozen=True, slots=True)
class JudgedCall:
    """A call, the reasons why it cannot work, and what would work instead.

    Attributes:
        call: The call as it was written down.
        domain: The guest's name.
        source: The source's host name.
        destination: The destination's host name.
        plan: Its plan, with the URIs filled in that it lacks; unchanged if it has problems.
        problems: The reasons why it cannot work.
        notes: Remarks.
        instead: The nearest plan that works; None if it works itself, or if there is none.
    """

    call: GivenCall
    domain: str
    source: str
    destination: str
    plan: Plan
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    instead: Plan | None

    @property
    def instead_line(self) -> str | None:
        """Return the virsh line that would do instead."""
        return None if self.instead is None else self._line(self.instead)

    def to_dict(self) -> dict[str, object]:
        """Return plain values: the keys of ``plan --format json``, and those of a call."""
        talks = () if self.problems else self.plan.connections(source_uri=self.call.source_uri)
        return {
            "valid": not self.problems,
            "problems": [asdict(problem) for problem in self.problems],
            "mode": self.plan.mode.value,
            "flags": list(self.plan.flags()),
            "migration_uri": self.plan.migration_uri,
            "connection_uri": self.plan.connection_uri,
            "talks": [talk.to_dict() for talk in talks],
            "virsh": None if self.problems else self._line(self.plan),
            "notes": list(self.notes),
            "settings": changed(self.plan),
            "form": self.call.form.value,
            "domain": self.domain,
            "source_uri": self.call.source_uri,
            "instead": self.instead_line,
        }

    @property
    def text(self) -> str:
        """Return the answer as text."""
        if not self.problems:
            return answer_text(
                self.call.plan, self.plan, self.domain, self.source, self.destination, self.notes,
                source_uri=self.call.source_uri, deadline=False,
                virsh=self.call.virsh(self.plan, self.domain),
            )  # fmt: skip
        title = "This call cannot work:"
        lines = [refusal_text(self.problems, title=title, worded=in_virsh)]
        if self.notes:
            lines += ["notes", *(f"  - {in_virsh(note)}" for note in self.notes)]
        if self.instead_line is not None:
            lines += ["what would work instead", f"  {self.instead_line}"]
        return "\n".join(lines)

    def _line(self, plan: Plan) -> str:
        return shlex.join(self.call.virsh(plan, self.domain))


def _shown_destination(call: GivenCall, given: str | None, named: str) -> str:
    """Return the destination's name; without a name it is where virsh runs."""
    uris = call.plan.connection_uri, call.plan.migration_uri
    unnamed = uris[0] is not None and all(is_local(named_host(uri) or "::") for uri in uris)
    return "the destination" if unnamed and given is None else named


def judge(
    text: str, *, domain: str | None, source: str | None, destination: str | None
) -> JudgedCall:
    """Read a call, and judge it as real daemons do; ``-`` reads it from standard input.

    Raises:
        UsageError: The text is no such call.
    """
    if text == "-":
        text = sys.stdin.buffer.read().decode(errors="replace")
    call = read_call(text)
    source = call.source if source is None else source
    uris = call.plan.connection_uri, call.plan.migration_uri
    named = destination or named_destination(source or "", *uris)
    name = call.domain or (DEFAULT_DOMAIN if domain is None else domain)
    problems = (
        *call.problems(source=source, destination=named),
        *validate_domain_name(name),
    )
    instead = None
    if problems and not validate_domain_name(name):
        found = call.instead(source=source, destination=named)
        instead = found and found.filled(destination=named)
    return JudgedCall(
        call=call,
        domain=name,
        source=source or _UNKNOWN_SOURCE,
        destination=_shown_destination(call, destination, named),
        plan=call.plan if problems else call.plan.filled(destination=named),
        problems=problems,
        notes=call.notes(source=source, destination=named),
        instead=instead,
    )
