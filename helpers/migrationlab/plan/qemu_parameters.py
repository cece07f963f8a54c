"""Know QEMU's parameters of a migration that libvirt has no setting for, and judge their values.

``qemu_parameters.toml`` has the parameters. Only migrationlab's own guests in a lab get them:
libvirt neither sets nor restores them, and marks a domain whose QEMU somebody else changed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from migrationlab.plan.problem import Problem
from migrationlab.plan.rule import PlanLike
from migrationlab.plan.wording import nearest, quote

FIELD = "qemu_parameters"
#: QEMU's marks for what may change or vanish with any release (docs/devel/qapi-code-gen.rst).
UNSTABLE = "x-"
#: How QEMU's command line names a property of its migration object.
GLOBAL = "migration."
#: QEMU's default of cpu-throttle-initial, below which no limit of throttling can be. It is in force
#: until libvirt sets the plan's.
INITIAL_PERCENT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of QEMU.

    Attributes:
        name: QEMU's name.
        at: The QEMU that reads it: "source" or "destination".
        since: The first QEMU that has it.
        meaning: Its description, with QEMU's default.
        range: The smallest and the largest value; None for True or False.
        unit: The unit of the value.
        needs: The setting of a plan without which QEMU never reads it; empty if there is none.
    """

    name: str
    at: str
    since: str
    meaning: str
    range: tuple[int, int] | None = None
    unit: str = ""
    needs: str = ""

    @property
    def takes(self) -> str:
        """Return the possible values, in few words."""
        if self.range is None:
            return "True or False"
        return f"a whole number of {self.range[0]} to {self.range[1]} {self.unit}".rstrip()

    @property
    def description(self) -> str:
        """Return its line in the reference."""
        return f"{self.name}: {self.meaning}; {self.takes}; since QEMU {self.since}."

    def fits(self, value: object) -> bool:
        """Return whether QEMU takes the value."""
        if self.range is None or isinstance(value, bool):
            return self.range is None and isinstance(value, bool)
        return isinstance(value, int) and self.range[0] <= value <= self.range[1]


def _read() -> Iterator[Parameter]:
    table = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    for name, about in table.items():
        low_high = about.pop("range", None)
        yield Parameter(name=name, range=low_high and (low_high[0], low_high[1]), **about)


#: The parameters by their names.
PARAMETERS = {about.name: about for about in _read()}


def parameters_at(given: Mapping[str, object] | None, at: str) -> dict[str, object]:
    """Return those of the given parameters that the source's, or the destination's, QEMU reads."""
    known = ((PARAMETERS.get(name), value) for name, value in (given or {}).items())
    return {about.name: value for about, value in known if about is not None and about.at == at}


def globals_of(given: Mapping[str, object] | None) -> list[str]:
    """Return the arguments with which a destination's QEMU starts to have its parameters."""
    values = parameters_at(given, "destination").items()
    return [word for name, value in values for word in ("-global", f"{GLOBAL}{name}={value}")]


def parameter_problems(plan: PlanLike, given: Mapping[str, object]) -> Iterator[Problem]:
    """Yield the problem of each parameter that a plan cannot have."""
    for name, value in given.items():
        about = PARAMETERS.get(name)
        if about is None:
            yield _unknown(name)
        elif not about.fits(value):
            yield Problem(
                FIELD,
                f"{FIELD}.{name} must be {about.takes} (got {quote(str(value))})",
                f"Give {about.takes}, or leave it out.",
                rule="qemu-parameter-value",
            )
        elif about.needs and not getattr(plan, about.needs):
            yield Problem(
                FIELD,
                f"{FIELD}.{name} needs {about.needs}=True: without it QEMU never reads the value",
                f"Set {about.needs}=True, or leave out {name}.",
                rule="qemu-parameter-needs",
            )
        elif name == "max-cpu-throttle":
            initial = getattr(plan, "auto_converge_initial_percent", None) or 0
            yield from _below_initial(value, max(initial, INITIAL_PERCENT))


def _below_initial(value: object, initial: int) -> Iterator[Problem]:
    if isinstance(value, int) and value < initial:
        yield Problem(
            FIELD,
            f"{FIELD}.max-cpu-throttle must be no less than the {initial} % with which "
            f"auto-convergence begins (got {value})",
            f"Give {initial} or more, or leave it out.",
            rule="qemu-parameter-value",
        )


def _unknown(name: str) -> Problem:
    known = ", ".join(PARAMETERS)
    if name.startswith(UNSTABLE):
        return Problem(
            FIELD,
            f"{FIELD} must have no name that begins with {UNSTABLE} (got {quote(name)}): such a "
            "parameter may change or vanish with any release of QEMU",
            f"Leave it out. The parameters are: {known}.",
            rule="qemu-parameter-unknown",
        )
    near = nearest(name.replace("_", "-"), PARAMETERS)
    return Problem(
        FIELD,
        f"{FIELD} must name parameters of QEMU that libvirt does not offer (got {quote(name)})",
        f"Use {near}." if near else f"Use one of: {known}. The rest are settings of a plan.",
        rule="qemu-parameter-unknown",
    )
