"""A run: the record of one migration with what is computed from it; and several runs.

A run does not change. Its mappings are read-only, and each access to a frame gives a fresh copy,
so that nothing done in a notebook cell changes the record. Its summary is computed once; a stored
summary of the same definition replaces the computation (:func:`remember`).

Methods that compute import what they need: pandas takes half a second or more to import, and most
commands read stored summaries only.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

from migrationlab.errors import StoreError
from migrationlab.runs import environment as identity
from migrationlab.runs.record import Outcome, RunError, RunRecord
from migrationlab.runs.schema import SUMMARY
from migrationlab.runs.stored_values import require_summary

if TYPE_CHECKING:
    import pandas as pd

    from migrationlab.analysis.cost import Cost
    from migrationlab.analysis.postcopy_faults import PostcopyFaults
    from migrationlab.analysis.service import ServiceView
    from migrationlab.analysis.timeline import Timeline
    from migrationlab.analysis.workload import Workload
    from migrationlab.analysis.write_latency import WriteLatency

__all__ = ["Outcome", "Run", "RunError", "Runs", "new_run_id", "remember", "summary_frame"]

#: Where a run holds its summary and its timeline. These are no fields: a changed copy has none yet.
_SUMMARY, _TIMELINE = "_summary", "_line"


class Run(RunRecord):
    """A record with its timeline, cost, workload and summary, each computed when asked for."""

    def __repr__(self) -> str:
        way = f"{self.source['name']} → {self.destination['name']}"
        return f"Run({self.run_id!r}, {self.plan.mode}, {self.outcome}, {way})"

    @property
    def environment_id(self) -> str:
        """Return the short name of the run's machines and software."""
        return identity.environment_id(self)

    def timeline(self) -> Timeline:
        """Compute phases, iterations, downtimes and rates from the recorded frames."""
        from migrationlab.runs import summary as compute  # noqa: PLC0415

        if _TIMELINE not in self.__dict__:
            self.__dict__[_TIMELINE] = compute.timeline_of(self)
        return compute.copied(self.__dict__[_TIMELINE])

    def cost(self) -> Cost:
        """Compute the cost: processor time on both hosts, memory, bytes by purpose."""
        from migrationlab.runs import summary as compute  # noqa: PLC0415

        return compute.cost_of(self, self.timeline())

    def workload(self) -> Workload:
        """Compute the guest's rate of writing memory before, during and after the migration."""
        from migrationlab.runs import summary as compute  # noqa: PLC0415

        return compute.workload_of(self, self.timeline())

    def service(self) -> ServiceView:
        """Compute what the clients of the guest's service noticed: latency, gaps, failures."""
        from migrationlab.runs import summary as compute  # noqa: PLC0415

        return compute.service_of(self, self.timeline())

    def write_latency(self) -> WriteLatency:
        """Compute how long the guest's own writes to memory took, by iteration and afterwards."""
        from migrationlab.runs import summary as compute  # noqa: PLC0415

        return compute.write_latency_of(self, self.timeline())

    def postcopy_faults(self) -> PostcopyFaults | None:
        """Return how long the guest waited for pages in post-copy; None: QEMU did not count it."""
        from migrationlab.analysis.postcopy_faults import postcopy_faults  # noqa: PLC0415

        return postcopy_faults(self.events)

    def summary(self) -> dict[str, Any]:
        """Return the run's main numbers: the keys of ``SUMMARY``, plain values; None: not known.

        Raises:
            StoreError: The record is not one that a recorder writes.
        """
        if _SUMMARY not in self.__dict__:
            from migrationlab.runs import summary as compute  # noqa: PLC0415

            try:
                summary = compute.summarize(self)
                require_summary(summary, self)
                self.__dict__[_SUMMARY] = summary
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise StoreError(
                    f"the summary of run {self.run_id} failed: {error!r}",
                    hint="Restore the run from a copy: its record is not as it was written.",
                ) from error
        return dict(self.__dict__[_SUMMARY])


class Runs(Sequence[Run]):
    """A sequence of runs, oldest first.

    Attributes:
        unreadable: For each run that could not be read, its name and the reason.
    """

    def __init__(
        self, runs: Iterable[Run] = (), *, unreadable: Mapping[str, str] | None = None
    ) -> None:
        self._runs = tuple(sorted(runs, key=lambda run: (run.created, run.run_id)))
        self.unreadable: Mapping[str, str] = MappingProxyType(dict(unreadable or {}))

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        modes = Counter(str(run.plan.mode) for run in self._runs)
        outcomes = Counter(str(run.outcome) for run in self._runs)
        unreadable = Counter({"unreadable": len(self.unreadable)} if self.unreadable else {})
        counts = (modes, outcomes, unreadable)
        parts = [", ".join(f"{n} {what}" for what, n in c.items()) for c in counts if c]
        return f"Runs({'; '.join(parts) or 'none'})"

    def frame(self) -> pd.DataFrame:
        """Return the runs' summaries, a row per run."""
        return summary_frame([run.summary() for run in self._runs])

    def environments(self) -> pd.DataFrame:
        """Return the runs' environments: environment_id, runs (their number), and each fact.

        A row per environment, the most frequent first; see :mod:`migrationlab.runs.environment`.
        """
        return identity.environments(self._runs)

    def downtimes(self) -> pd.DataFrame:
        """Return the completed runs' downtimes: run_id, mode, kind, downtime_ms, low_ms, high_ms.

        A row per downtime. The true value is between ``low_ms`` and ``high_ms``: see
        :mod:`migrationlab.analysis.downtimes`.
        """
        from migrationlab.runs import summary as compute  # noqa: PLC0415

        return compute.downtime_table(self.frame())


def summary_frame(summaries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return summaries as a frame, a row for each."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(summaries, columns=list(SUMMARY)).astype(dict(SUMMARY))


def remember(run: Run, summary: Mapping[str, Any]) -> None:
    """Give a run its stored summary, which was computed with the same ``DEFINITION``.

    Raises:
        ValueError: A value is not of its type or range, or differs from the run's.
    """
    require_summary(summary, run)
    run.__dict__[_SUMMARY] = dict(summary)


def new_run_id(now: datetime | None = None) -> str:
    """Return a new name for a run: its UTC time, by which names sort, and three random bytes."""
    moment = datetime.now(UTC) if now is None else now.astimezone(UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
