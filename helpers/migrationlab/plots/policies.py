"""Draw what policies do over time: the maximum downtime as steps, and the other actions as marks.

The guest is imagined: it never converges, so each policy goes to its end.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from migrationlab.errors import UsageError
from migrationlab.plan.policies import catalog
from migrationlab.plan.policies.action import Action, ActionKind
from migrationlab.plan.policies.driver import Imagined, imagined
from migrationlab.plots import palette, picture

#: QEMU's own limit, where a policy leaves it.
QEMU_MS = 300
UNTIL_S = 7200.0
COLOURS = (
    palette.BLUE, palette.VERMILION, palette.GREEN, palette.ORANGE, palette.PURPLE, palette.SKY,
    palette.INK, palette.GREY,
)  # fmt: skip
STYLES = ("-", "--", ":")
MARKS = {
    ActionKind.CANCEL: ("X", "cancels"),
    ActionKind.START_POSTCOPY: ("D", "switches to post-copy"),
    ActionKind.SUSPEND: ("s", "pauses the guest"),
}

Acted = Sequence[tuple[float, Action]]


def policies(names: Sequence[str] | None = None, job: Imagined | None = None) -> picture.Picture:
    """Draw the limits of policies against time, for a guest that never converges.

    Args:
        names: The policies; by default all but ``rules``, which needs rules.
        job: The imagined guest; by default of 2 GiB, with iterations of 5 s.

    Raises:
        PlanError: There is no such policy.
        UsageError: ``names`` is empty.
    """
    chosen = [each for each in catalog.names() if each != "rules"] if names is None else names
    if not chosen:
        raise UsageError(
            "names must have a policy (got none)", hint='Write names=["nova", "kubevirt"].'
        )
    job = job or Imagined()
    acted = {name: list(imagined(catalog.make(name), job, until_s=UNTIL_S)) for name in chosen}
    title = "What each policy allows, and when it gives up"
    subtitle = (
        f"a guest of {job.memory_mib} MiB that never converges, iterations of {job.iteration_s:g} s"
    )
    with picture.drawing(5.4, title, subtitle, _alt(acted)) as drawn:
        axes = drawn.figure.subplots()
        last = max((at for steps in acted.values() for at, _ in steps), default=0.0)
        for number, (name, steps) in enumerate(acted.items()):
            style = STYLES[number // len(COLOURS) % len(STYLES)]
            _draw(axes, name, steps, (COLOURS[number % len(COLOURS)], style, last * 1.1 or 60))
        for marker, words in MARKS.values():
            axes.plot([], [], marker, color=palette.INK, linestyle="none", label=words)
        axes.set_xscale("symlog", linthresh=10)
        axes.set_yscale("log")
        axes.set_xlim(left=0)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("time since the call (s)")
        axes.set_ylabel("maximum downtime (ms)")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small")
    return drawn


def _draw(axes: Axes, name: str, steps: Acted, look: tuple[str, str, float]) -> None:
    colour, style, end_s = look
    limits = [
        (at, action.value or 0)
        for at, action in steps
        if action.kind is ActionKind.SET_MAX_DOWNTIME
    ]
    if not limits or limits[0][0] > 0:
        limits.insert(0, (0.0, QEMU_MS))
    ends = [at for at, action in steps if action.kind in MARKS]
    limits.append((ends[-1] if ends else end_s, limits[-1][1]))
    times, values = zip(*limits, strict=True)
    axes.step(times, values, style, where="post", color=colour, linewidth=1.8, label=name)
    for at, action in steps:
        if action.kind in MARKS:
            value = [limit for when, limit in limits if when <= at][-1]
            axes.plot(at, value, MARKS[action.kind][0], color=colour, markersize=8, zorder=5)


def _alt(acted: dict[str, list[tuple[float, Action]]]) -> str:
    parts = []
    for name, steps in acted.items():
        limits = [action.value for _, action in steps if action.value is not None]
        ends = [f"{MARKS[a.kind][1]} at {at:g} s" for at, a in steps if a.kind in MARKS]
        allows = f"allows up to {max(limits)} ms" if limits else "changes no limit"
        parts.append(f"{name} {allows}{''.join(f', {end}' for end in ends)}")
    return f"Maximum downtime against time. {'; '.join(parts)}."
