"""Hold a migration that somebody wrote down: a ``virsh migrate`` line, or the flags of a call.

The readers (``virsh_reader``, ``flags_reader``) collect what the text says and what is wrong with
the text itself. :class:`GivenCall` judges the plan in it as real daemons do: what only
migrationlab refuses is a remark here, because libvirt does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from migrationlab.plan import virsh
from migrationlab.plan.plan import Plan
from migrationlab.plan.problem import Problem
from migrationlab.plan.repair import repaired
from migrationlab.plan.rules import RULES
from migrationlab.plan.settings import AUTO
from migrationlab.plan.uri_parser import is_local, read_uri
from migrationlab.plan.uris import Mode, client_at, validate_connection_uri
from migrationlab.plan.validation import ACCEPTED_BY_LIBVIRT

#: The rules of virsh itself, which libvirt does not have.
_VIRSH_RULES = frozenset(rule.name for rule in RULES if rule.source.startswith("tools/virsh"))
#: libvirt looks a wrong name up, and the migration then fails.
_REFUSED_LATER = frozenset({"text-own"})
_REMARKS = ACCEPTED_BY_LIBVIRT - _REFUSED_LATER


class CallForm(StrEnum):
    """The form in which a migration is written down."""

    VIRSH = "virsh"
    FLAGS = "flags"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GivenCall:
    """A migration as it was written down.

    Attributes:
        text: The text, unchanged.
        form: A virsh line, or the flags of a call.
        plan: The plan that the text means. Without a migration URI in the text it is ``auto``:
            the destination's libvirtd chooses.
        domain: The guest's name; None if the text has none.
        source_uri: How the client connects to the source's libvirtd.
        text_problems: What is wrong with the text itself, such as an unknown option.
        remarks: What the text means, where it is not obvious.
        files: The files that virsh reads XML from, by its options.
    """

    text: str
    form: CallForm
    plan: Plan
    domain: str | None = None
    source_uri: str = "qemu:///system"
    text_problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"GivenCall({self.form.value}, {self.plan!r})"

    @property
    def source(self) -> str | None:
        """Return the source's host name; None if the client is on the source, or the text is."""
        host = read_uri(self.source_uri).hostname
        return host if host and not is_local(host) else None

    def problems(
        self, *, source: str | None = None, destination: str | None = None
    ) -> tuple[Problem, ...]:
        """Return the reasons why the call cannot work; empty if it can.

        Args:
            source: The source's host name; by default the one in ``source_uri``.
            destination: The destination's host name, for suggestions.
        """
        found = self._found(source, destination)
        return (*self.text_problems, *(each for each in found if not self._accepted(each)))

    def notes(
        self, *, source: str | None = None, destination: str | None = None
    ) -> tuple[str, ...]:
        """Return remarks on the text, and what libvirt accepts though it has no effect."""
        found = self._found(source, destination)
        idle = (
            f"libvirt accepts this, but: {each.reason}. {each.hint}"
            for each in found
            if self._accepted(each)
        )
        if self.problems(source=source, destination=destination):
            return (*self.remarks, *idle, *self._elsewhere())
        return (*self.remarks, *idle, *self._plan_remarks())

    def virsh(self, plan: Plan, domain: str) -> list[str]:
        """Return the ``virsh migrate`` command of a plan with the files that this call names."""
        files = (word for option in self.files.items() for word in option)
        return [*plan.virsh(domain, source_uri=self.source_uri), *files]

    def instead(self, *, source: str | None = None, destination: str | None = None) -> Plan | None:
        """Return the nearest plan that works, with the same purpose; None if none was found."""
        return repaired(
            self.plan,
            source=source or self.source,
            destination=destination,
            source_uri=self.source_uri,
        )

    def _elsewhere(self) -> Iterator[str]:
        """Yield how to run the line on the destination, where its URI is a good one."""
        uri, at_source = self.plan.connection_uri, client_at(self.source_uri)
        if uri is None or self.plan.mode is not Mode.NORMAL or not at_source:
            return
        here = validate_connection_uri(uri, Mode.NORMAL)
        if here and not validate_connection_uri(uri, Mode.NORMAL, client_at_source=False):
            yield (
                f"{uri} is the libvirtd of the machine where the command runs. If that is the "
                "destination, name the source: virsh --connect qemu+ssh://root@SOURCE/system "
                "migrate …"
            )

    def _plan_remarks(self) -> Iterator[str]:
        if self.plan.connection_uri is None:
            yield "The text has no connection URI: a virsh line needs one."
        if self.plan.migration_uri == AUTO and not (self.plan.tunnelled or self.plan.offline):
            yield (
                "There is no migration URI, so the destination's libvirtd gives one, with "
                "migration_host of its qemu.conf or else its host name. The source must be able to "
                "resolve that name."
            )
        yield from virsh.remarks(self.plan, self.source_uri)

    def _found(self, source: str | None, destination: str | None) -> tuple[Problem, ...]:
        return self.plan.problems(
            source=source or self.source, destination=destination, source_uri=self.source_uri
        )

    def _accepted(self, problem: Problem) -> bool:
        refused_by_virsh = self.form is CallForm.VIRSH and problem.rule in _VIRSH_RULES
        return problem.rule in _REMARKS and not refused_by_virsh
