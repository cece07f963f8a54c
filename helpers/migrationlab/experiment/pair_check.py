"""Check whether pairs of hosts disturb each other: the same cell alone, and all at once.

Two labs of one machine share its processors, and two pairs of real hosts may share a switch. The
call's time of each pair alone is compared with that while all pairs migrate.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrationlab.errors import UsageError
from migrationlab.experiment import statistics
from migrationlab.experiment.campaign import connected
from migrationlab.experiment.inventory import Pair
from migrationlab.experiment.statistics import Comparison, Verdict
from migrationlab.plan.programs import require_trusted
from migrationlab.steps import Listener, ignore

if TYPE_CHECKING:
    from migrationlab.experiment.experiment import Experiment

METRIC = "call_ms"
QUESTION = "Do the pairs disturb each other?"


@dataclass(frozen=True, slots=True)
class PairCheck:
    """One pair, alone and together with the others.

    Attributes:
        pair: Its name.
        comparison: The times of its calls: a is alone, b is together.
    """

    pair: str
    comparison: Comparison

    @property
    def text(self) -> str:
        """Return the result in words."""
        found = self.comparison
        if found.verdict is Verdict.TOO_FEW or found.percent is None:
            return f"{self.pair}: n is too small to tell"
        size = f"{found.percent:+.0f} % (n {found.n_a} and {found.n_b})"
        words = {
            Verdict.DIFFERENT: f"the others change its calls by {size}: do not pool its runs",
            Verdict.EQUIVALENT: f"the others change its calls by less than 5 %: {size}",
            Verdict.UNCLEAR: f"no disturbance is shown, and none is excluded: {size}",
        }
        return f"{self.pair}: {words[found.verdict]}"

    def to_dict(self) -> dict[str, Any]:
        """Return the check as plain values, for JSON."""
        values = asdict(self.comparison) | {"verdict": self.comparison.verdict.value}
        return {"pair": self.pair, "text": self.text, "comparison": values}


def check_pairs(
    pairs: Sequence[Pair],
    *,
    repeats: int = 6,
    client: Any = None,
    scheduler: str | None = None,
    on_step: Listener = ignore,
    stop: threading.Event | None = None,
    allow_programs: bool = False,
) -> tuple[PairCheck, ...]:
    """Compare each pair alone with the same pair while all of them migrate.

    Args:
        pairs: Two pairs or more.
        repeats: The runs of each pair in each case; fewer than four cannot show a difference.
        client: A ``distributed.Client``; by default workers on this machine.
        scheduler: The address of a scheduler, instead of ``client``.
        on_step: Receives the progress.
        stop: Setting it ends the check, without a result.
        allow_programs: Whether to run the programs that the pairs' URIs name.

    Raises:
        UsageError: There are fewer than two pairs, or one names a program.
        HostError: A pair failed.
    """
    if len(pairs) < 2:
        raise UsageError(
            f"pairs must be two or more (got {len(pairs)})",
            hint="Add a [[pairs]] to the inventory.",
        )
    if not allow_programs:
        require_trusted(program for pair in pairs for program in pair.programs)
    halt = stop or threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="migrationlab-pairs-") as made,
        connected(client, scheduler, len(pairs)) as own,
    ):

        def times(name: str, chosen: Sequence[Pair]) -> dict[str, list[float]]:
            known = _experiment(Path(made) / name, repeats * len(chosen))
            known.run(
                pairs=chosen,
                client=own,
                on_step=on_step,
                stop=halt,
                allow_programs=allow_programs,
            )
            frame = known.frame()
            if frame.empty:
                return {}
            return {
                str(pair): rows[METRIC].dropna().tolist() for pair, rows in frame.groupby("pair")
            }

        alone = {
            pair.name: times(f"alone-{pair.name}", [pair]).get(pair.name, []) for pair in pairs
        }
        together = times("together", pairs)
    return tuple(
        PairCheck(pair.name, statistics.compare(alone[pair.name], together.get(pair.name, [])))
        for pair in pairs
    )


def _experiment(folder: Path, repeats: int) -> Experiment:
    from migrationlab.experiment.experiment import Experiment  # noqa: PLC0415 - it imports pairs

    return Experiment(QUESTION, repeats=repeats, warm_ups=0, directory=folder)
