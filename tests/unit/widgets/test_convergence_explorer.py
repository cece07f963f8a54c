"""The convergence explorer, pressed without a browser; its trials migrate a fake guest.

The fakes let a test hold a migration at any moment. A test checks that they have the methods of the
real classes; ``tests/notebooks/test_playground.py`` tests the explorer on real hosts.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from ipywidgets import HBox

from migrationlab import plots
from migrationlab.errors import HostError, LabError, MigrationLabError
from migrationlab.forecast.precopy import Precopy
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.lab.network import Wire
from migrationlab.migrate.migration import Migration, Progress
from migrationlab.migrate.start import start
from migrationlab.plan.plan import Mode, Plan
from migrationlab.plan.wire_spec import WireSpec
from migrationlab.runs.run import Outcome, Run
from migrationlab.widgets import ConvergenceExplorer
from migrationlab.widgets.convergence_explorer import simulated
from migrationlab.widgets.views import run_tables

TIMEOUT_S = 20
MakeRun = Callable[..., Run]


@dataclass
class FakeWire:
    """A wire that takes down how it was set."""

    settings: WireSpec = field(default_factory=lambda: WireSpec(800.0, delay_ms=2))
    set_to: list[WireSpec] = field(default_factory=list)

    def set(
        self,
        rate_mbit_s: float | None,
        *,
        back_mbit_s: float | None = None,
        delay_ms: float = 0,
        jitter_ms: float = 0,
        loss_percent: float = 0,
    ) -> WireSpec:
        """Note the settings."""
        self.settings = WireSpec(
            rate_mbit_s,
            back_mbit_s=back_mbit_s,
            delay_ms=delay_ms,
            jitter_ms=jitter_ms,
            loss_percent=loss_percent,
        )
        self.set_to.append(self.settings)
        return self.settings


class FakeLab:
    """A lab that can die at will."""

    def __init__(self) -> None:
        self.alive = True
        self.wire = FakeWire()


class FakeGuest:
    """A guest that takes down what it is to write."""

    def __init__(self) -> None:
        self.lab = FakeLab()
        self.spec = SimpleNamespace(working_set_mib=32, dirty_mib_s=25)
        self.other_host = "host-b"

    def set_workload(
        self,
        dirty_mib_s: float,
        pattern: str | None = None,
        *,
        disk_mib_s: float | None = None,
        incompressible: float | None = None,
        content: str | None = None,
    ) -> None:
        """Note the workload."""
        self.spec.dirty_mib_s = dirty_mib_s


@dataclass
class FakeMigration:
    """A migration that is over when the test, or a cancel, says so."""

    runs: Callable[..., Run]
    ended: threading.Event = field(default_factory=threading.Event)
    outcome: str = "completed"
    failure: MigrationLabError | None = None

    @property
    def done(self) -> bool:
        """Return whether it is over."""
        return self.ended.is_set()

    def progress(self) -> Progress:
        """Report its second iteration."""
        return Progress(
            "running", 1500, iteration=2, memory_total_bytes=220 << 20,
            memory_remaining_bytes=44 << 20, throughput_bytes_per_s=112 << 20,
        )  # fmt: skip

    def cancel(self) -> None:
        """End the migration as cancelled."""
        self.outcome = "cancelled"
        self.ended.set()

    def wait(self, timeout_s: float | None = None) -> Run:
        """Wait for the end."""
        if not self.ended.wait(TIMEOUT_S if timeout_s is None else timeout_s):
            raise TimeoutError
        if self.failure is not None:
            raise self.failure
        return self.runs(outcome=self.outcome, number=9)


class Stage:
    """An explorer with a guest, its fakes, and the strings that a test pulls."""

    def __init__(self, make_run: MakeRun) -> None:
        self.guest = FakeGuest()
        self.plans: list[Plan] = []
        self.set_up: list[tuple[WireSpec, float]] = []
        self.asked = threading.Event()
        self.connected = threading.Event()
        self.connected.set()
        self.refusal: BaseException | None = None
        self.migration = FakeMigration(make_run)
        recorded = SimpleNamespace(measured=[make_run()])
        self.playground = ConvergenceExplorer(
            recorded,  # type: ignore[arg-type]
            self.guest,  # type: ignore[arg-type]
            start=self.start,  # type: ignore[arg-type]
        )

    def start(self, guest: FakeGuest, *, to: str, plan: Plan) -> FakeMigration:
        """Start, as ``migrationlab.start`` does."""
        self.plans.append(plan)
        self.set_up.append((guest.lab.wire.settings, guest.spec.dirty_mib_s))
        self.asked.set()
        assert self.connected.wait(TIMEOUT_S)
        if self.refusal is not None:
            raise self.refusal
        return self.migration

    def begin(self) -> None:
        """Press the button, and wait until the migration is asked for."""
        self.playground.start_button.click()
        assert self.asked.wait(TIMEOUT_S)

    def end(self) -> None:
        """Let the migration come to its end, and wait until it is on the page."""
        self.migration.ended.set()
        assert self.playground.wait(TIMEOUT_S)


@pytest.fixture
def playground(make_run: MakeRun) -> Iterator[ConvergenceExplorer]:
    """Return a drawn explorer of two recorded runs; close it afterwards."""
    recorded = [make_run(), make_run(number=2, dirty_mib_s=80, outcome="timed_out")]
    made = ConvergenceExplorer(SimpleNamespace(measured=recorded))  # type: ignore[arg-type]
    assert made.wait(TIMEOUT_S)
    yield made
    made.close()
    assert made.wait(TIMEOUT_S)


class Outline:
    """Stands in for a figure and states of how many runs the figure would be."""

    def __init__(self, *given: object, own: Sequence[Run], **others: object) -> None:
        self.own = own

    def _repr_html_(self) -> str:
        return f"<figure>{len(self.own)} own</figure>"


@pytest.fixture
def stage(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Return a stage whose figures are outlines; close its explorer afterwards."""
    monkeypatch.setattr(plots, "convergence", Outline)
    made = Stage(make_run)
    yield made
    made.connected.set()
    made.playground.close()
    assert made.playground.wait(TIMEOUT_S)


@pytest.mark.parametrize(
    ("fake", "real"),
    [(FakeWire, Wire), (FakeLab, Lab), (FakeGuest, Guest), (FakeMigration, Migration)],
)
def test_fakes_have_the_methods_of_the_real_classes(fake: type, real: type) -> None:
    """Each method of a fake exists in the real class and takes the same arguments."""
    for name, function in inspect.getmembers(fake, inspect.isfunction):
        if not name.startswith("_"):
            taken = inspect.signature(getattr(real, name)).parameters
            assert list(inspect.signature(function).parameters) == list(taken)
    assert set(inspect.signature(Stage.start).parameters) - {"self"} < set(
        inspect.signature(start).parameters
    )


# Without a guest


def test_forecast_is_shown_in_words_and_in_the_figure(playground: ConvergenceExplorer) -> None:
    """The forecast is in the text, in the figure's title and description, and beside the runs."""
    assert repr(playground) == "ConvergenceExplorer(2 recorded runs)"
    assert "It ends, after 12 iterations" in playground.forecast.value
    shown = playground.results.value
    assert 'alt="The model: it ends after 12 iterations' in shown
    assert "The recorded runs nearest to the setting" in shown
    assert "<td>40 MiB/s</td>" in shown


def test_simulation_stands_beside_the_model(playground: ConvergenceExplorer) -> None:
    """The simulated forecast is shown with its intervals, and says it where nothing ends."""
    assert playground.wait(TIMEOUT_S)
    assert "Simulated by QEMU&#39;s rules: it ends" in playground.results.value
    playground.dirty.value = 100
    never = simulated(playground.settings)
    assert never == "Simulated by QEMU's rules: it ends with a probability of 0%."
    playground.dirty.value = 0
    assert "probability of 100%, after" in simulated(playground.settings)


def test_slider_changes_text_at_once_and_figure_later(
    playground: ConvergenceExplorer,
) -> None:
    """Each setting reaches the model, and another setting has other nearest runs."""
    playground.dirty.value = 80
    assert "It does not end: the guest writes 80 MiB/s" in playground.forecast.value
    assert playground.wait(TIMEOUT_S)
    assert "The model: this migration never ends by itself" in playground.results.value
    assert "stopped at its deadline" in playground.results.value
    playground.max_downtime.value = 2000
    playground.working_set.value = 48
    playground.wire.value = 300
    playground.memory.value = 200
    assert playground.settings == Precopy(
        dirty_mib_s=80, wire_mbit_s=300, memory_mib=200, working_set_mib=48, max_downtime_ms=2000
    )
    assert playground.wait(TIMEOUT_S)
    assert "Recorded with a working set of 64 MiB and a downtime limit of 300 ms." in (
        playground.results.value
    )


def test_slider_and_its_field_have_the_same_value(playground: ConvergenceExplorer) -> None:
    """A moved slider and a typed number give the same value, within the same bounds."""
    row = next(
        row
        for row in playground._box.children
        if isinstance(row, HBox) and playground.wire in row.children
    )
    slider = row.children[1]
    slider.value = 800
    assert playground.settings.wire_mbit_s == 800
    playground.wire.value = 5000
    assert slider.value == playground.settings.wire_mbit_s == 1200


def test_working_set_is_limited_to_the_memory(playground: ConvergenceExplorer) -> None:
    """If sliders contradict each other, the working set is limited to the guest's memory."""
    playground.memory.value = 40
    assert playground.settings.working_set_mib == 40


def test_only_the_newest_setting_waits_for_drawing(
    playground: ConvergenceExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dragging a slider neither queues figures nor waits for them."""
    begun, go_on = threading.Event(), threading.Event()
    drawn: list[float] = []
    whole = playground._picture

    def slow(asked: Precopy) -> plots.Picture:
        drawn.append(asked.dirty_mib_s)
        begun.set()
        assert go_on.wait(TIMEOUT_S)
        return whole(asked)

    monkeypatch.setattr(playground, "_picture", slow)
    playground.dirty.value = 10
    assert begun.wait(TIMEOUT_S)
    for rate in (20, 30, 50):
        playground.dirty.value = rate
    go_on.set()
    assert playground.wait(TIMEOUT_S)
    assert drawn == [10, 50]


def test_saved_explorer_shows_its_figure(playground: ConvergenceExplorer) -> None:
    """Without a kernel the notebook shows the figure and the text, and no memory address."""
    bundle = playground._repr_mimebundle_()
    assert bundle["text/plain"] == "ConvergenceExplorer(2 recorded runs)"
    assert "run this cell" in bundle["text/html"]
    assert "It ends, after 12 iterations" in bundle["text/html"]
    assert "<img" in bundle["text/html"]


def test_explorer_without_a_guest_starts_nothing(playground: ConvergenceExplorer) -> None:
    """Without a guest there is no button, and starting a trial does nothing."""
    playground.start()
    playground.cancel()
    assert len(playground.runs) == 0
    assert playground.start_button not in playground._box.children


def test_explorer_needs_no_libvirt() -> None:
    """An explorer of recorded runs loads neither libvirt nor the lab."""
    code = (
        "import sys\n"
        "from types import SimpleNamespace\n"
        "from migrationlab.widgets import ConvergenceExplorer, RunExplorer\n"
        "made = ConvergenceExplorer(SimpleNamespace(measured=[]))\n"
        "assert made.wait(60), made\n"
        "assert 'No recorded run' in made.results.value, made.results.value\n"
        "RunExplorer([])\n"
        "sys.exit(any(name in sys.modules for name in ('libvirt', 'migrationlab.lab')))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=TIMEOUT_S * 3)


def test_table_has_measured_and_forecast_values(make_run: MakeRun) -> None:
    """A cell has the measured and the forecast value, also for a run that did not complete."""
    runs = [make_run(), make_run(number=2, dirty_mib_s=150, outcome="timed_out")]
    table = run_tables.forecasts(runs, 118, "Two runs")
    assert "completed (the model: it ends in time)" in table
    assert "stopped at its deadline (the model: it does not end in time)" in table
    assert " ms (the model: 287 ms)</td><td>–</td>" in table


# With a guest


def test_trial_migrates_with_the_chosen_settings(stage: Stage) -> None:
    """A trial sets workload and wire, migrates with limit and deadline, and becomes a point."""
    playground = stage.playground
    playground.dirty.value, playground.wire.value = 60, 900
    playground.max_downtime.value, playground.deadline.value = 500, 20
    told = threading.Event()
    playground.progress.observe(lambda change: told.set(), names="value")
    stage.begin()
    assert stage.plans == [Plan(mode=Mode.PEER2PEER, max_downtime_ms=500, deadline_s=20)]
    assert stage.set_up == [(WireSpec(900), 60)]
    assert told.wait(TIMEOUT_S)
    assert playground.start_button.disabled
    assert not playground.cancel_button.disabled
    stage.end()
    assert [run.outcome for run in playground.runs] == [Outcome.COMPLETED]
    assert repr(playground) == "ConvergenceExplorer(1 recorded runs, 1 own)"
    assert "completed in" in playground.message.value
    assert "Your own runs" in playground.results.value
    assert "<figure>1 own</figure>" in playground.results.value
    assert not playground.start_button.disabled
    assert playground.cancel_button.disabled


def test_trial_restores_wire_and_workload(stage: Stage) -> None:
    """After a trial the wire has its former rate and delay, and the guest its former workload."""
    stage.begin()
    stage.end()
    assert stage.guest.lab.wire.set_to[-1] == WireSpec(800.0, delay_ms=2)
    assert stage.guest.spec.dirty_mib_s == 25


def test_failed_restore_is_reported_and_the_rest_is_restored(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the wire cannot be restored, the workload still is, and the page shows the reason."""

    def refuse(*_rate: float, **_more: float) -> None:
        if stage.asked.is_set():
            raise LabError("the wire refused", hint="look at it")

    monkeypatch.setattr(stage.guest.lab.wire, "set", refuse)
    stage.begin()
    stage.migration.ended.set()
    assert stage.playground.wait(TIMEOUT_S)
    assert stage.guest.spec.dirty_mib_s == 25
    assert "the wire refused" in stage.playground.message.value
    # The migration was made, and its run is there.
    assert [run.outcome for run in stage.playground.runs] == [Outcome.COMPLETED]


def test_working_set_of_a_running_guest_is_fixed(stage: Stage) -> None:
    """The explorer shows the guest's working set, which cannot change while the guest runs."""
    assert stage.playground.working_set.value == 32
    assert stage.playground.working_set.disabled
    # Recorded guests have a working set of 64 MiB, and 118 in use.
    assert stage.playground.memory.value == 118 - 32


def test_memory_beyond_the_slider_is_shown_as_it_is(make_run: MakeRun) -> None:
    """If a guest has more memory than the slider's usual end, field and slider show all of it."""
    guest = FakeGuest()
    guest.spec.working_set_mib = 1000
    recorded = SimpleNamespace(measured=[make_run()])
    playground = ConvergenceExplorer(recorded, guest)  # type: ignore[arg-type]
    assert playground.working_set.value == 1000
    assert playground.memory.value == 118 - 64 + 1000
    assert playground.settings.working_set_mib == 1000
    playground.close()
    assert playground.wait(TIMEOUT_S)


def test_refused_drawing_is_reported_with_its_hint(
    playground: ConvergenceExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of migrationlab is shown with its hint, and not as a defect of migrationlab."""

    def refuse(*_: object, **__: object) -> None:
        raise LabError("nothing to draw", hint="look elsewhere")

    monkeypatch.setattr(plots, "convergence", refuse)
    playground.dirty.value = 60
    assert playground.wait(TIMEOUT_S)
    assert "nothing to draw" in playground.results.value
    assert "look elsewhere" in playground.results.value
    assert "fault" not in playground.results.value


def test_another_trial_starts_after_a_cancel(stage: Stage) -> None:
    """A cancelled trial becomes a point, and the button works again."""
    stage.begin()
    stage.playground.cancel_button.click()
    assert stage.playground.wait(TIMEOUT_S)
    assert "cancelled" in stage.playground.message.value
    stage.asked.clear()
    stage.migration.ended.clear()
    stage.migration.outcome = "completed"
    stage.begin()
    stage.end()
    outcomes = [run.outcome for run in stage.playground._own]
    assert outcomes == [Outcome.CANCELLED, Outcome.COMPLETED]


def test_cancel_while_connecting_is_not_lost(stage: Stage) -> None:
    """If Cancel is pressed while a trial connects, its migration is cancelled once it starts."""
    stage.connected.clear()
    stage.begin()
    stage.playground.cancel_button.click()
    stage.connected.set()
    assert stage.playground.wait(TIMEOUT_S)
    assert [run.outcome for run in stage.playground.runs] == [Outcome.CANCELLED]


def test_second_press_starts_nothing(stage: Stage) -> None:
    """During a trial a second press starts no other trial."""
    stage.begin()
    stage.playground.start()
    stage.end()
    assert len(stage.plans) == 1


def test_refusal_is_shown_with_its_hint(stage: Stage) -> None:
    """The page shows the host's error and its hint, and a trial can be started again."""
    stage.refusal = HostError("no room", hint="Make room.")
    stage.begin()
    assert stage.playground.wait(TIMEOUT_S)
    assert "no room" in stage.playground.message.value
    assert "Make room." in stage.playground.message.value
    assert not stage.playground.start_button.disabled


def test_dead_lab_is_reported_with_the_cell_to_run(stage: Stage) -> None:
    """The error names the cell to run if the lab died before or during a trial."""
    stage.begin()
    stage.guest.lab.alive = False
    stage.migration.failure = LabError("gone")
    stage.end()
    assert "The lab is down" in stage.playground.message.value
    stage.playground.message.value = ""
    stage.playground.start_button.click()
    assert stage.playground.wait(TIMEOUT_S)
    assert "Run the cell with mig.Lab(…) again" in stage.playground.message.value
    assert len(stage.plans) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_unexpected_error_is_shown_and_explorer_still_works(stage: Stage) -> None:
    """An unexpected error is shown on the page, and the button works again."""
    stage.refusal = ValueError("no ink")
    stage.begin()
    assert stage.playground.wait(TIMEOUT_S)
    assert "A bug in migrationlab: ValueError(&#39;no ink&#39;)" in stage.playground.message.value
    assert not stage.playground.start_button.disabled


def test_close_cancels_the_trial_and_prevents_others(stage: Stage) -> None:
    """Closing cancels the running trial, and a later press starts nothing."""
    stage.begin()
    stage.playground.close()
    assert [run.outcome for run in stage.playground.runs] == [Outcome.CANCELLED]
    stage.playground.start()
    assert len(stage.plans) == 1
