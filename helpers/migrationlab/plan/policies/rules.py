"""Drive a migration by a table of rules: a policy of one's own without a program.

In TOML, for :func:`read_rules` (and ``[[plan.policy_options.rules]]`` in an experiment)::

    [[rules]]
    do = "set_max_downtime"
    factor = 2
    at_most = 2000
    after_iteration = 3
    every_s = 10

    [[rules]]
    do = "start_postcopy"
    without_progress_s = 30

A rule acts when all its conditions hold at a look; without ``every_s`` it acts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from migrationlab.errors import PlanError
from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.policy import Policy, PolicyGuest, Seen, act, allow, checked
from migrationlab.plan.spec import option

_EXAMPLE = 'Write rules=[{"do": "set_max_downtime", "value": 500, "after_s": 10}].'
#: What takes a value.
_LIMITS = (ActionKind.SET_MAX_DOWNTIME, ActionKind.SET_BANDWIDTH)


@dataclass(frozen=True, kw_only=True)
class PolicyRule:
    """One rule: an action, and the conditions that all have to hold."""

    do: Literal["set_max_downtime", "set_bandwidth", "start_postcopy", "suspend", "cancel"] = (
        option("cancel", "The action.")
    )
    value: int | None = option(
        None, "The new limit, in ms or MiB/s.", minimum=1, maximum=2_000_000, absent="none"
    )
    factor: float | None = option(
        None, "How many times the last limit of this policy.", minimum=1.01, maximum=1000,
        absent="none",
    )  # fmt: skip
    at_most: int | None = option(
        None, "The largest limit that factor gives.", minimum=1, maximum=2_000_000,
        absent="QEMU's",
    )  # fmt: skip
    after_s: float = option(0.0, "The time since the call.", minimum=0, maximum=604_800, unit="s")
    after_iteration: int = option(0, "The iterations done.", minimum=0, maximum=1_000_000)
    without_progress_s: float | None = option(
        None, "How long the rest has had no new least value.", minimum=0.1, maximum=604_800,
        unit="s", absent="any",
    )  # fmt: skip
    expected_below_ms: int | None = option(
        None, "What the rest would take at the present rate, at most.", minimum=1,
        maximum=2_000_000, unit="ms", absent="any",
    )  # fmt: skip
    every_s: float | None = option(
        None, "When it may act again.", minimum=0.1, maximum=604_800, unit="s", absent="never"
    )

    @property
    def ends_after(self) -> int | None:
        """Return the iterations after which it ends pre-copy, if it has no other condition."""
        others = (self.after_s or None, self.without_progress_s, self.expected_below_ms)
        if self.do in _LIMITS or any(each is not None for each in others):
            return None
        return self.after_iteration

    def holds(self, seen: Seen, idle_s: float) -> bool:
        """Return whether its conditions hold; the rest has had no new least value for idle_s."""
        if seen.now_s < self.after_s or seen.iteration <= self.after_iteration:
            return False
        if self.without_progress_s is not None and idle_s < self.without_progress_s:
            return False
        if self.expected_below_ms is None:
            return True
        rest, rate = seen.remaining_bytes, seen.memory_bps
        return bool(rest is not None and rate and 1000 * rest / rate <= self.expected_below_ms)


@dataclass(kw_only=True)
class Rules(Policy):
    """A table of rules."""

    name: ClassVar[str] = "rules"
    meaning: ClassVar[str] = (
        "A policy of your own: a table of rules, each with an action and its conditions. The "
        "option rules has them as a list; migrationlab.plan.policies.rules.read_rules reads them "
        "from a TOML file."
    )
    source: ClassVar[str] = "migrationlab"

    downtime_ms: int | None = option(
        None, "The maximum downtime from the start.", minimum=1, maximum=2_000_000, unit="ms",
        absent="QEMU's",
    )  # fmt: skip
    look_s: float = option(
        0.5, "The time from one look to the next.", minimum=0.05, maximum=3600, unit="s"
    )
    rules: tuple[PolicyRule, ...] = field(default=())

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the policy with some rules; PlanError for a wrong one."""
        rows = given.get("rules", ())
        if not isinstance(rows, list | tuple) or not rows:
            raise PlanError("policy rules needs the option rules: a list of rules", hint=_EXAMPLE)
        made = checked(
            cls, {name: given[name] for name in given if name != "rules"}, "policy rules"
        )
        made.rules = tuple(_rule(row, number) for number, row in enumerate(rows, 1))
        return made

    def settings(self) -> dict[str, object]:
        """Return the settings of a plan that belong to the policy."""
        return {"postcopy": True} if any(r.do == "start_postcopy" for r in self.rules) else {}

    @property
    def first_downtime_ms(self) -> int | None:
        """Return the maximum downtime from the start."""
        return self.downtime_ms

    @property
    def most_iterations(self) -> int | None:
        """Return the least number of iterations at which one of the rules ends pre-copy."""
        ends = [rule.ends_after for rule in self.rules]
        return min((most for most in ends if most is not None), default=None)

    @property
    def next_poll_s(self) -> float:
        """Return the seconds until the next look."""
        return self.look_s

    def begin(self, guest: PolicyGuest) -> None:
        """Begin to drive the migration of a guest."""
        self._limits = {"set_max_downtime": self.downtime_ms or 300}
        self._acted_s: dict[int, float] = {}
        self._least: int | None = None
        self._least_s = 0.0

    def polled(self, seen: Seen) -> Iterator[Action]:
        """Look at the migration; yield the actions that are due."""
        rest = seen.remaining_bytes
        if rest is not None and (self._least is None or rest < self._least):
            self._least, self._least_s = rest, seen.now_s
        for number, rule in enumerate(self.rules, 1):
            last_s = self._acted_s.get(number)
            # Rounded: the sum of many looks is not exact.
            again = rule.every_s is not None and (
                last_s is None or round(seen.now_s - last_s, 3) >= rule.every_s
            )
            if (last_s is not None and not again) or not rule.holds(
                seen, seen.now_s - self._least_s
            ):
                continue
            if action := self._action(rule, number):
                self._acted_s[number] = seen.now_s
                yield action

    def _action(self, rule: PolicyRule, number: int) -> Action | None:
        kind, why = ActionKind(rule.do), f"rule {number}"
        if kind not in _LIMITS:
            return act(kind, why)
        before = self._limits.get(rule.do)
        value = rule.value
        if rule.factor is not None and before is not None:
            value = min(int(before * rule.factor), rule.at_most or 2_000_000)
        if value is None or value == before:
            return None
        self._limits[rule.do] = value
        return allow(value, why) if kind is ActionKind.SET_MAX_DOWNTIME else act(kind, why, value)


def _rule(row: object, number: int) -> PolicyRule:
    what = f"rule {number} of policy rules"
    if not isinstance(row, Mapping):
        raise PlanError(f"{what} must be a table (got {row!r})", hint=_EXAMPLE)
    if "do" not in row:
        raise PlanError(f"{what} must say what to do", hint=_EXAMPLE)
    rule = checked(PolicyRule, row, what)
    takes = rule.do in _LIMITS
    if takes == (rule.value is None and rule.factor is None):
        wanted = "value or factor" if takes else "no value and no factor"
        raise PlanError(f"{what} must have {wanted}, because it does {rule.do}", hint=_EXAMPLE)
    if rule.do == "set_bandwidth" and rule.factor is not None:
        raise PlanError(
            f"{what} must have value, not factor: the bandwidth before it is not known",
            hint='Write {"do": "set_bandwidth", "value": 100}.',
        )
    return rule


def read_rules(path: str | Path) -> dict[str, Any]:
    """Return the options of policy ``rules`` from a TOML file; PlanError if they cannot work."""
    import tomllib  # noqa: PLC0415 - a plan needs none

    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlanError(
            f"{path} must be a TOML file of rules: {error}", hint="Begin each rule with [[rules]]."
        ) from error
    Rules.of(given)
    return given
