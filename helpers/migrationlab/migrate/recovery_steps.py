"""Look at both hosts after a migration that broke, and carry out the steps of ``recovery``.

After each step both hosts are asked again, and the decision is made again.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from migrationlab.errors import HostError, UsageError
from migrationlab.hosts.host import Host
from migrationlab.hosts.poll import wait_until
from migrationlab.hosts.time_limit import within
from migrationlab.migrate.recovery import OTHER, Action, Kind, Side
from migrationlab.migrate.recovery_scene import Given, Recovery, Scene
from migrationlab.plan.problem import require_none
from migrationlab.plan.uris import validate_domain_name
from migrationlab.steps import Listener, ignore

#: How long a host may take to be reached and to tell the state of a domain.
LOOK_S, MOST_PATIENCE_S = 15.0, 600.0
#: How long to wait for the effect of a step.
EFFECT_S = 20.0
#: How long a step may take. A post-copy that moves data has no limit.
STEP_S = 40.0
MOST_STEPS = 6


def recover(
    domain: str,
    *,
    source: Host | str,
    destination: Host | str,
    confirm_dead: Side | None = None,
    keep: Side | None = None,
    carry_out: bool = False,
    patience_s: float = LOOK_S,
    on_step: Listener = ignore,
) -> Recovery:
    """Say who has a guest after a migration that broke, and what to do; with consent, do it.

    Args:
        domain: The guest's name or UUID.
        source: The host that it left, or its connection URI.
        destination: The host that it went to, or its connection URI.
        confirm_dead: The side whose machine you have fenced: nothing runs there any more.
        keep: The copy to keep if the guest runs on both hosts; the other one is destroyed.
        carry_out: Whether to carry out the steps, one at a time, looking again after each. It
            stops where the state is not as expected.
        patience_s: How long a host may take to be reached and to tell the state of the domain.
        on_step: Receives the progress of a post-copy that is resumed.

    Raises:
        UsageError: An argument is wrong.
        HostError: A step was refused, or had no effect.
        KeyboardInterrupt: Ctrl-C; post-copy that was resumed is paused again.
    """
    require_none(validate_domain_name(domain))
    for name, side in (("confirm_dead", confirm_dead), ("keep", keep)):
        if side not in (None, *OTHER):
            raise UsageError(
                f"{name} must be source or destination (got {side!r})",
                hint=f'Give {name}="source".',
            )
    uris = [host.uri if isinstance(host, Host) else host for host in (source, destination)]
    if uris[0] == uris[1]:
        raise UsageError(
            f"destination must be another host than the source (got {uris[1]!r} for both)",
            hint="Give the URI of the host that the guest went to.",
        )
    if not 0 < patience_s <= MOST_PATIENCE_S:
        raise UsageError(
            f"patience_s must be more than 0 and at most {MOST_PATIENCE_S:g} (got {patience_s!r})",
            hint=f"Leave it out: the default is {LOOK_S:g}.",
        )
    hosts: dict[Side, Host | str] = {"source": source, "destination": destination}
    scene = Scene(domain, hosts, Given(confirm_dead, keep, patience_s, on_step))
    try:
        return _carried_out(scene) if carry_out else scene.look()
    finally:
        scene.close()


def _carried_out(scene: Scene) -> Recovery:
    """Carry out one step after the other, as long as each has an effect."""
    seen = scene.look()
    done: list[str] = []
    while seen.verdict.acts and len(done) < MOST_STEPS:
        act, before = seen.verdict.acts[0], seen
        try:
            if act.action is Action.RESUME_POSTCOPY:
                scene.do(act)
            else:
                within(STEP_S, partial(scene.do, act), "recovery-step")
        except TimeoutError:
            raise HostError(
                f"{before.commands[0]} has not returned after {STEP_S:g} s",
                hint="Look at both hosts again.",
            ) from None
        done.append(before.commands[0])
        looks: list[Recovery] = []

        def changed(before: Recovery = before, looks: list[Recovery] = looks) -> bool:
            looks.append(scene.look())
            return looks[-1].found != before.found

        if not wait_until(changed, EFFECT_S):
            raise HostError(
                f"{done[-1]} had no effect: {seen.verdict.why}", hint="Look at both hosts' logs."
            )
        seen = looks[-1]
    return replace(seen, done=tuple(done))


__all__ = ["Kind", "Recovery", "recover"]
