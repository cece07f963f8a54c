"""Compute the steps in which a plan raises its maximum downtime."""

from __future__ import annotations

from migrationlab.plan.plan import Plan


def downtime_steps(plan: Plan) -> tuple[tuple[float, int], ...]:
    """Return the steps of a plan's maximum downtime: seconds since the call, milliseconds.

    The first pair is for the beginning. Empty if the plan leaves the maximum downtime to QEMU.
    The steps are OpenStack Nova's (downtime_steps in ``nova/virt/libvirt/migration.py``).
    """
    maximum, steps, step_s = plan.max_downtime_ms, plan.downtime_steps, plan.downtime_step_s
    if maximum is None:
        return ()
    if steps is None or step_s is None:
        return ((0.0, maximum),)
    base = maximum / steps
    rise = (maximum - base) / steps
    # No guest can meet a limit of 0 ms: it is 1 ms instead.
    return tuple((step_s * i, max(int(base + rise * i), 1)) for i in range(steps + 1))
