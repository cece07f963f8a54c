"""Simulate pre-copy by QEMU's own rules, in the mean over the guest's writes.

Theory of operation. QEMU scans memory in the order of addresses, again and again, and sends what
its bitmap marks. At most every 50 ms it looks at what is left (``MAX_WAIT`` in
``migration/ram.c``). When this falls below the *threshold* (measured rate of sending, times the
downtime limit; a page of zeros counts as 4096 bytes), it asks for the pages written since it last
asked: a *synchronization*, which begins the next iteration. If what is left is still below the
threshold, it pauses the guest and sends the rest (migration_iteration_run in
``migration/migration.c``, ram_state_pending_exact in ``migration/ram.c``; alike in 7.2 and 10.0).

So an iteration leaves pages unsent. Of those, some are written again, and add nothing: see
:meth:`migrationlab.forecast.written.Written.beyond`. No classes of pages are fitted. The first
iteration is long, so what the second leaves is taken as any of the pages written in that time.
What is pending rises with the rest and with the time: so no forecast is later for a longer limit
or a faster link.

What is pending has an order: the unsent pages that the scan comes to first, among them or in one
block the pages of zeros, then the pages written behind the scan.

Auto-converge (migration_trigger_throttle in ``migration/ram.c``): at synchronizations more than a
second apart, if more than half as much was written as sent, at the second time the throttle rises:
20 %, then by 10 % to 99 %. Since QEMU 9.2 a timer synchronizes every 5 s after the first iteration.
A throttled guest writes more slowly only when its spare processor time is used up.

Post-copy (migration_iteration_run again): QEMU follows the request at its next look, not before. If
what is left fits in the limit when the iteration begins, pre-copy ends first.

A named policy gets the job's statistics at its looks and at each iteration, and its actions count
at once. Where iterations repeat and the policy waits, time is skipped, by a share of the time so
far, between iterations that are simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from migrationlab.forecast.case import HEADER_BYTES, Case, Path, Sent
from migrationlab.forecast.pending import Pending
from migrationlab.forecast.simulated_policy import ENDS, SimulatedPolicy, policy_of
from migrationlab.plan.policies.action import Action, ActionKind

#: migration_bitmap_sync compares bytes written and sent at most once a second.
CHECK_S = 1.0
#: cpu_throttle_dirty_sync_timer of QEMU 9.2 and later.
SYNC_TIMER_S = 5.0
#: throttle-trigger-threshold, cpu-throttle-initial and -increment, max-cpu-throttle.
TRIGGER, INITIAL, INCREMENT, HIGHEST = 0.5, 0.2, 0.1, 0.99
#: No progress in so many iterations is none at all, while nothing else changes.
SETTLED_AFTER = 8
SETTLED_SHARE = 0.9999
#: If the throttle has not risen for so long, the guest does not write enough for that.
UNTHROTTLED_S = 30.0
MOST_ITERATIONS = 4000
#: What is skipped at a time while a policy waits, as a share of the time so far.
SKIPPED = 0.02
LOOK = "look"
MOST_S = 30 * 86400.0
#: Nothing takes no time: QEMU looks again after a millisecond.
SHORTEST_S = 0.001


def simulate_qemu(case: Case) -> Path:
    """Return the path of a migration by QEMU's rules."""
    return _Simulation(case).run()


def simulate_from(case: Case, *, count: int, since_sync_s: float) -> Path:
    """Return the rest of the path of a migration that runs; its times count from now.

    Args:
        case: What is pending now, and the guest.
        count: The current iteration.
        since_sync_s: How long ago it began.
    """
    rest = _Simulation(case)
    rest.pending = Pending([(case.normal_pages, case.zero_pages), (0.0, 0.0)])
    rest.sent_bytes = 0.0
    rest.count, rest.synced_s = count, -since_sync_s
    rest.last_s = since_sync_s
    return rest.run()


@dataclass(slots=True)
class _Simulation:
    case: Case
    now: float = 0.0
    synced_s: float = 0.0
    sent_bytes: float = 0.0
    throttle: float = 0.0
    count: int = 1
    iterations: list[Sent] = field(default_factory=list)
    lost_s: float = 0.0
    last_s: float = 0.0
    hits: int = 0
    checked_s: float = 0.0
    checked_bytes: float = 0.0
    written_pages: float = 0.0
    changed_s: float = 0.0
    due_s: float | None = None
    limit_set_s: float | None = None
    policy: SimulatedPolicy | None = field(init=False)
    pending: Pending = field(init=False)
    began_pages: float = field(init=False)
    long_s: float = field(init=False)

    def __post_init__(self) -> None:
        case = self.case
        normal, zeros, before = case.normal_pages, case.zero_pages, case.before_zeros
        if before is None:
            parts = [(normal, zeros), (0.0, 0.0)]
        else:
            parts = [(before * normal, 0.0), (0.0, zeros), ((1 - before) * normal, 0.0), (0.0, 0.0)]
        self.pending = Pending(parts)
        self.began_pages = self.pending.pages
        self.long_s = normal * self.page_s
        # Buffers take what comes first without waiting for the wire.
        self._send(case.queued_bytes / case.rate_bytes_s)
        self.now = 0.0
        self.policy = policy_of(case.plan, (normal + zeros) * case.page_bytes)
        if self.policy is not None:
            if self.policy.first_ms is not None:
                self.limit_set_s = self.policy.first_ms / 1000
            self._show()
            self._acted(self.policy.iterated(1, case.before_s))

    # --- the loop ---------------------------------------------------------------------------

    def run(self) -> Path:
        """Return the path."""
        turns = 0
        while turns < MOST_ITERATIONS and self.now < MOST_S:
            event_s, event = self._event()
            takes_s = self._next_look_s()
            if self.now + takes_s > event_s:
                self.due_s = self.now + takes_s
                self._send(max(event_s - self.now, 0.0))
                if event == LOOK:
                    event = self._policy_looks()
                if event is not None:
                    return self._ended(event)
                continue  # another limit can be in force
            turns += 1
            self._send(takes_s)
            self._synchronize()
            if self.pending.pages * self.case.page_bytes < self.threshold_bytes:
                return self._switchover("switchover")
            if (event := self._by_iteration()) is not None:
                return self._ended(event)
            if self._settled():
                event_s, _ = self._event()
                if event_s >= MOST_S:
                    break
                if self.policy is None:
                    self._repeat_until(event_s)
                    self.iterations = self.iterations[-1:]
                elif self.policy.waits:
                    self._repeat_until(self.now * (1 + SKIPPED))
        return self._path("never", None)

    @property
    def page_cost(self) -> float:
        """Return the bytes that a page costs on the wire now."""
        return self.case.page_cost(self.count)

    @property
    def page_s(self) -> float:
        """Return the time to send a page."""
        return self.page_cost / self.case.rate_bytes_s

    @property
    def throttles(self) -> bool:
        return self.case.plan.auto_converge

    @property
    def pace(self) -> float:
        """Return the guest's speed, as a share of its full speed."""
        return min(1.0, (1 - self.throttle) / self.case.vcpu_use)

    @property
    def limit_s(self) -> float:
        if self.limit_set_s is not None:
            return self.limit_set_s
        since_call = self.now + self.case.before_s
        due = [limit for at, limit in self.case.limits if at <= since_call + 1e-9]
        return max(due) if due else self.case.limits[0][1]

    @property
    def threshold_bytes(self) -> float:
        assumed = self.case.plan.switchover_bandwidth_mib_s
        rate = self.case.rate_bytes_s * self.case.filled if assumed is None else assumed * 2.0**20
        # What QEMU measures is what the wire carries; it compares it with whole pages.
        return (
            rate * self.limit_s * self.case.page_bytes / self.page_cost
            if self.page_cost > self.case.page_bytes
            else rate * self.limit_s
        )

    def _next_look_s(self) -> float:
        """Return the time until QEMU synchronizes, unless something happens before."""
        if self.due_s is not None:
            return max(self.due_s - self.now, SHORTEST_S)
        takes_s = self._until_look()
        if self.throttles and self.count > 1:
            takes_s = min(takes_s, max(SYNC_TIMER_S - (self.now - self.synced_s), SHORTEST_S))
        return takes_s

    def _until_look(self) -> float:
        """Return the time until the look at which QEMU finds less than the threshold."""
        look_s, target = self.case.look_s, self.threshold_bytes / self.case.page_bytes
        reached_s = self._scan_s(self.pending.pages - target)
        all_s = self._scan_s(self.pending.pages)
        since = self.now - self.synced_s
        phase = (self.case.phase + self.case.phase_step * self.count) % 1.0
        at_look = max(look_s - since, reached_s + look_s * phase)
        return max(min(at_look, all_s), SHORTEST_S)

    def _scan_s(self, pages: float) -> float:
        """Return the time to send the next pages."""
        return self.pending.scan_s(pages, self.page_s, self.case.zero_page_s)

    def _send(self, seconds: float) -> None:
        """Send for a time."""
        normal, zeros = self.pending.send(seconds, self.page_s, self.case.zero_page_s)
        self.sent_bytes += normal * self.page_cost + zeros * HEADER_BYTES
        self.now += seconds
        self.lost_s += seconds * (1 - self.pace)

    def _synchronize(self) -> None:
        """Add the pages written since the last synchronization, and begin an iteration."""
        new = self._newly_written()
        left = self.pending.pages
        one = Sent(self.count, self.synced_s, self.now, self.began_pages, left, self.throttle)
        self.iterations.append(one)
        self.count += 1
        self.last_s = (self.now - self.synced_s) * self.pace
        self.synced_s = self.now
        self.pending.add(new)
        self.began_pages = self.pending.pages
        self.due_s = None
        if self.throttles:
            self._consider_throttle(new)

    def _newly_written(self) -> float:
        """Return the pages written since the last synchronization that were not pending."""
        written, rest = self.case.written, self.pending.normal
        active_s = (self.now - self.synced_s) * self.pace
        if self.count > 2:
            # No more than all that was written since the rest was, if that was the last iteration.
            most = max(written(self.last_s + active_s) - rest, 0.0)
            return min(written.beyond(rest, active_s), most)
        new = written(active_s)
        if self.count == 1:  # what it leaves has nothing to do with what is written
            among, again = self.case.normal_pages, new
        else:  # what the second leaves is of the pages written in the long time of the first
            among = written(self.long_s)
            again = max(among + new - written(self.long_s + active_s), 0.0)
        return new - again * (min(rest / among, 1.0) if among else 0.0)

    def _consider_throttle(self, new: float) -> None:
        self.written_pages += new
        if self.now - self.checked_s <= CHECK_S:
            return
        plan = self.case.plan
        sent = self.sent_bytes - self.checked_bytes
        written = self.written_pages * self.case.page_bytes
        self.checked_s, self.checked_bytes, self.written_pages = self.now, self.sent_bytes, 0.0
        if written <= TRIGGER * sent:
            return
        self.hits += 1
        if self.hits < 2:
            return
        self.hits = 0
        first = (plan.auto_converge_initial_percent or 100 * INITIAL) / 100
        step = (plan.auto_converge_increment_percent or 100 * INCREMENT) / 100
        self.throttle = min(self.throttle + step, HIGHEST) if self.throttle else first
        self.changed_s = self.now

    # --- policies ---------------------------------------------------------------------------

    def _show(self) -> None:
        """Show the policy the job's statistics."""
        if self.policy is not None:
            left = self.pending.pages * self.case.page_bytes
            self.policy.sampled(self.count, left, self.sent_bytes, self.case.rate_bytes_s)

    def _policy_looks(self) -> str | None:
        """Let the policy look; return how it ends pre-copy, if it does."""
        if self.policy is None:
            return None
        self._show()
        return self._acted(self.policy.looked(self.now + self.case.before_s))

    def _acted(self, actions: Sequence[Action]) -> str | None:
        """Do what a policy wants; return how that ends pre-copy, if it does."""
        for action in actions:
            if (end := ENDS.get(action.kind)) is not None:
                return end
            self.due_s = None
            if action.kind is ActionKind.SET_MAX_DOWNTIME and action.value is not None:
                self.limit_set_s = action.value / 1000
            elif action.kind is ActionKind.SET_BANDWIDTH:
                link = self.case.link_bytes_s
                rate = link if action.value is None else min(link, action.value * 2.0**20)
                self.case = replace(self.case, rate_bytes_s=rate)
        return None

    def _event(self) -> tuple[float, str | None]:
        """Return the next change that time brings: seconds from the first byte, and its kind."""
        plan, before_s = self.case.plan, self.case.before_s
        events: list[tuple[float, str | None]] = [
            (at - before_s, None) for at, _ in self.case.limits if at - before_s > self.now + 1e-9
        ]
        if plan.postcopy and plan.postcopy_after_s is not None:
            events.append((max(plan.postcopy_after_s - before_s, self.now), "post-copy"))
        if self.policy is not None and (look_s := self.policy.driver.next_s) is not None:
            events.append((max(look_s - before_s, self.now), LOOK))
        if plan.suspend_after_s is not None:
            events.append((max(plan.suspend_after_s - before_s, self.now), "suspended"))
        return min(events, key=lambda event: event[0], default=(MOST_S, None))

    def _by_iteration(self) -> str | None:
        plan = self.case.plan
        if plan.postcopy and 0 < (plan.postcopy_after_iteration or 0) < self.count:
            return "post-copy"
        if 0 < (plan.suspend_after_iteration or 0) < self.count:
            return "suspended"
        if self.policy is None:
            return None
        self._show()
        return self._acted(self.policy.iterated(self.count, self.now + self.case.before_s))

    def _settled(self) -> bool:
        """Return whether the last iterations bring no progress, and will not."""
        if self.throttles and self.throttle < HIGHEST and self.now < self.changed_s + UNTHROTTLED_S:
            return False
        # An iteration after a change of the throttle or the limit is no evidence.
        recent = self.iterations[-2 * SETTLED_AFTER :]
        if len(recent) < 2 * SETTLED_AFTER or recent[0].throttle != self.throttle:
            return False
        earlier = min(one.pending_pages for one in recent[:SETTLED_AFTER])
        later = min(one.pending_pages for one in recent[SETTLED_AFTER:])
        return later >= SETTLED_SHARE * earlier

    def _repeat_until(self, event_s: float) -> None:
        """Repeat iterations like the last one until just before a time."""
        last = self.iterations[-1]
        takes_s = last.end_s - last.start_s
        times = int((event_s - self.now) / takes_s)
        self.now += times * takes_s
        self.synced_s = self.now
        self.count += times
        self.sent_bytes += times * takes_s * self.case.rate_bytes_s
        self.lost_s += times * takes_s * (1 - self.pace)

    # --- ends -------------------------------------------------------------------------------

    def _ended(self, event: str) -> Path:
        if event == "post-copy":
            self._send(self._until_switch_s())
        if self.now > self.synced_s:
            self.pending.add(self._newly_written())
        if event == "cancelled":
            return self._path(event, None)
        return self._postcopy() if event == "post-copy" else self._switchover(event)

    def _until_switch_s(self) -> float:
        """Return the time from a request for post-copy until QEMU follows it: at its next look."""
        look_s = self.case.look_s
        return look_s - (self.now - self.synced_s) % look_s

    def _rest_bytes(self) -> float:
        pending = self.pending
        return pending.normal * self.page_cost + pending.zeros * HEADER_BYTES

    def _switchover(self, end: str) -> Path:
        about, rest = self.case.constants, self._rest_bytes()
        rest_s = rest / self.case.link_bytes_s
        if end == "suspended":  # the plan's limit holds until the rest fits in the downtime limit
            rest_s = rest / self.case.rate_bytes_s
        zeros_s = self.pending.zeros / about.zero_pages_per_s
        rest_s = max(rest_s, zeros_s) + self.case.queued_bytes / self.case.link_bytes_s
        downtime_s = rest_s + about.devices_s
        self.sent_bytes += rest
        return self._path(end, downtime_s, downtime_s + about.network_s)

    def _postcopy(self) -> Path:
        about, rest = self.case.constants, self._rest_bytes()
        limit = self.case.plan.postcopy_bandwidth_mib_s
        rate = self.case.link_bytes_s
        if limit is not None:
            rate = min(rate, limit * 2.0**20)
        self.sent_bytes += rest
        self.now += rest / rate
        # The guest's devices wait behind what lies in buffers.
        downtime_s = about.postcopy_s + self.case.queued_bytes / self.case.link_bytes_s
        return self._path("post-copy", downtime_s, downtime_s + about.postcopy_network_s)

    def _path(self, end: str, downtime_s: float | None, network_s: float | None = None) -> Path:
        paused = downtime_s or 0.0
        return Path(
            end=end, iterations=tuple(self.iterations), count=self.count + (downtime_s is not None),
            sending_s=self.now + paused, downtime_s=downtime_s, network_s=network_s,
            sent_bytes=self.sent_bytes, acted=tuple(self.policy.acted if self.policy else ()),
            slowdown=self.lost_s / (self.now + paused) if self.now + paused else 0.0,
        )  # fmt: skip
