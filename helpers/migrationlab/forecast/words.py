"""Say why a forecast is as it is, and what it cannot speak about."""

from __future__ import annotations

from migrationlab.forecast.case import DEFAULT_DOWNTIME_MS, Case, Path, StopRule
from migrationlab.forecast.curve import MIB
from migrationlab.plan.plan import Plan
from migrationlab.plan.policies.action import ActionKind

#: Settings that the simulation does not know, if they are on, and why that matters.
_UNKNOWN = {
    "tls": "Encryption (tls) can slow the sending.",
    "tunnelled": "A tunnelled migration passes through both libvirtds, which slows it.",
    "copy_storage": "The copied disks (copy_storage) are sent first, and share the link.",
    "zerocopy": "zerocopy changes the processor time only, which is not modelled.",
    "rdma_pin_all": "Locking all memory (rdma_pin_all) takes time before the start.",
    "abort_when_diverging_s": "When abort_when_diverging_s cancels it.",
    "paused": "paused leaves the guest paused at the destination: its downtime goes on.",
}
#: What a policy does, in words.
_ACTS = {
    ActionKind.SET_MAX_DOWNTIME: "sets the downtime limit to{value} ms",
    ActionKind.SET_BANDWIDTH: "sets the bandwidth to{value} MiB/s",
    ActionKind.START_POSTCOPY: "switches to post-copy",
    ActionKind.SUSPEND: "pauses the guest",
    ActionKind.CANCEL: "cancels it",
}
#: What the rule "per-iteration" does not have.
_PLAIN_ONLY = (
    "auto_converge", "postcopy_after_iteration", "postcopy_after_s", "suspend_after_iteration",
    "suspend_after_s", "switchover_bandwidth_mib_s", "policy",
)  # fmt: skip


def not_modelled(
    plan: Plan, stop_rule: StopRule, *, compression_ratio: object | None
) -> tuple[str, ...]:
    """Return what a forecast of a plan cannot speak about."""
    changed = plan.changed()
    found = [text for name, text in _UNKNOWN.items() if name in changed]
    if plan.compression is not None and compression_ratio is None:
        found.append("How well the memory compresses: it is counted in full. Give the ratio.")
    if plan.live is False:
        found.append("live=False pauses the guest from the start: it is counted as running.")
    if stop_rule == "per-iteration":
        found += [
            f"{name} is not part of the rule per-iteration." for name in _PLAIN_ONLY
            if name in changed
        ]  # fmt: skip
    elif plan.postcopy:
        found.append("How much a guest in post-copy waits for pages.")
    found.append("A guest whose writing changes, and hosts that have no processor time to spare.")
    return tuple(found)


def reasons(
    case: Case, path: Path, total_s: float | None, deadline_s: float | None, stop_rule: StopRule
) -> tuple[str, ...]:
    """Return why a simulation goes as it does."""
    found = [_course(case, path)]
    found += _of_policy(case, path)
    if path.end == "post-copy":
        found.append("Post-copy ends it whatever the guest writes.")
    elif path.end == "suspended":
        found.append("The guest is paused by the plan, and the rest is sent at once.")
    if path.slowdown > 0.02 and case.plan.auto_converge:
        found.append(f"Auto-converge prevents {path.slowdown:.0%} of the guest's work.")
    elif case.plan.auto_converge and stop_rule == "qemu" and not path.ends:
        found.append("Auto-converge does not slow this guest enough.")
    if total_s is not None and deadline_s is not None and total_s > deadline_s:
        found.append(
            f"It would take {total_s:.1f} s, longer than the deadline of {deadline_s:g} s."
        )
    elif total_s is not None and deadline_s is None and total_s > case.plan.deadline_s:
        found.append(
            f"It would take {total_s:.1f} s: give deadline_s, because a plan without it is "
            f"cancelled after {case.plan.deadline_s:g} s."
        )
    return tuple(found)


def _of_policy(case: Case, path: Path) -> list[str]:
    """Return what a named policy does: its last change of the limit, and its end."""
    last = {action.kind: (at_s, action) for at_s, action in path.acted}
    found = []
    for kind, (at_s, action) in last.items():
        what = _ACTS.get(kind)
        if what is not None:
            value = "" if action.value is None else f" {action.value}"
            found.append(
                f"The policy {case.plan.policy} {what.format(value=value)} after {at_s:.0f} s: "
                f"{action.why or 'by its rule'}."
            )
    return found


def _course(case: Case, path: Path) -> str:
    limit_ms = 1000 * max(limit for _, limit in case.limits)
    for _, action in path.acted:
        if action.kind is ActionKind.SET_MAX_DOWNTIME and action.value is not None:
            limit_ms = max(limit_ms, action.value)
    limit = f"the downtime limit of {limit_ms or DEFAULT_DOWNTIME_MS:.0f} ms"
    rate = case.rate_bytes_s / MIB * case.page_bytes / case.again_page_bytes
    if not path.iterations:
        return f"All of the memory can be sent within {limit}."
    last = path.iterations[-1]
    takes_s = last.end_s - last.start_s
    pages = case.written(takes_s)
    written = pages * case.page_bytes / MIB
    needed_ms = 1000 * pages * case.again_page_bytes / case.rate_bytes_s
    facts = (
        f"The link carries {rate:.0f} MiB/s of memory. In an iteration of {takes_s:.2f} s the "
        f"guest writes {written:.0f} MiB, which take {needed_ms:.0f} ms to send"
    )
    if path.end == "never":
        return (
            f"{facts}: each iteration leaves as much as the one before, more than {limit} allows."
        )
    return (
        f"{facts}; iterations become shorter until the rest fits in {limit}."
        if (path.end == "switchover")
        else f"{facts}."
    )
