"""The convergence explorer, pressed without a browser; trials on a stage of fakes.

The fakes let a test hold a migration at any moment. A test proves that they answer to the same
calls as what they stand for; ``tests/notebooks/test_playground.py`` has it on real hosts.
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
from migrationlab.widgets.views import run_tables

TIMEOUT_S = 20
MakeRun = Callable[..., Run]


@dataclass
class FakeWire:
    """A wire that takes down how it was set."""

    settings: WireSpec = field(default_factory=lambda: WireSpec(800.0, delay_ms=2))
    set_to: list[WireSpec] = field(default_factory=list)

    def set(
        self, rate_mbit_s: float | None, *, delay_ms: float = 0, loss_percent: float = 0
    ) -> WireSpec:
        """Take it down."""
        self.settings = WireSpec(rate_mbit_s, delay_ms=delay_ms, loss_percent=loss_percent)
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
        self, dirty_mib_s: float, pattern: str | None = None, *, disk_mib_s: float | None = None
    ) -> None:
        """Take it down."""
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
        """Be over, cancelled."""
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
    """Return an explorer on two recorded runs, drawn; close it."""
    recorded = [make_run(), make_run(number=2, dirty_mib_s=80, outcome="timed_out")]
    made = ConvergenceExplorer(SimpleNamespace(measured=recorded))  # type: ignore[arg-type]
    assert made.wait(TIMEOUT_S)
    yield made
    made.close()
    assert made.wait(TIMEOUT_S)


class Outline:
    """Stands in for a figure: says of how many runs it would be."""

    def __init__(self, *given: object, own: Sequence[Run], **others: object) -> None:
        self.own = own

    def _repr_html_(self) -> str:
        return f"<figure>{len(self.own)} own</figure>"


@pytest.fixture
def stage(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Give a stage whose figures are outlines, and close its explorer."""
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
def test_fakes_answer_to_the_calls_of_what_they_stand_for(fake: type, real: type) -> None:
    """Each method of a fake exists in truth, and takes the same arguments."""
    for name, function in inspect.getmembers(fake, inspect.isfunction):
        if not name.startswith("_"):
            taken = inspect.signature(getattr(real, name)).parameters
            assert list(inspect.signature(function).parameters) == list(taken)
    assert set(inspect.signature(Stage.start).parameters) - {"self"} < set(
        inspect.signature(start).parameters
    )


# Without a guest


def test_it_shows_and_draws_the_forecast(playground: ConvergenceExplorer) -> None:
    """In words, in the figure's title and description, and beside the recorded runs."""
    assert repr(playground) == "ConvergenceExplorer(2 recorded runs)"
    assert "It ends, after 12 iterations" in playground.forecast.value
    shown = playground.results.value
    assert 'alt="The model: it ends after 12 iterations' in shown
    assert "The recorded runs nearest to the setting" in shown
    assert "<td>40 MiB/s</td>" in shown


def test_a_slider_changes_words_at_once_and_the_figure_after(
    playground: ConvergenceExplorer,
) -> None:
    """Each setting reaches the model; the nearest runs are others then."""
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


def test_a_slider_and_its_field_are_one(playground: ConvergenceExplorer) -> None:
    """A reader who moves the slider or types the number asks for the same; both are bounded."""
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


def test_a_working_set_is_no_more_than_the_memory(playground: ConvergenceExplorer) -> None:
    """Sliders that contradict each other ask for what can be."""
    playground.memory.value = 40
    assert playground.settings.working_set_mib == 40


def test_while_it_draws_only_the_newest_setting_waits(
    playground: ConvergenceExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slider that is dragged doesn't queue figures, nor wait for them."""
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


def test_a_saved_explorer_shows_its_figure(playground: ConvergenceExplorer) -> None:
    """A reader without a kernel sees figure and words, without an address."""
    bundle = playground._repr_mimebundle_()
    assert bundle["text/plain"] == "ConvergenceExplorer(2 recorded runs)"
    assert "run this cell" in bundle["text/html"]
    assert "It ends, after 12 iterations" in bundle["text/html"]
    assert "<img" in bundle["text/html"]


def test_without_a_guest_nothing_is_started(playground: ConvergenceExplorer) -> None:
    """There is no button, and to call for a trial does nothing."""
    playground.start()
    playground.cancel()
    assert len(playground.runs) == 0
    assert playground.start_button not in playground._box.children


def test_it_plays_where_there_is_no_libvirt() -> None:
    """Explorer and playground of recorded runs load neither libvirt nor the lab."""
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


def test_a_table_has_what_was_measured_and_what_the_model_says(make_run: MakeRun) -> None:
    """Both stand in one cell; of a run that did not end, what there is."""
    runs = [make_run(), make_run(number=2, dirty_mib_s=150, outcome="timed_out")]
    table = run_tables.forecasts(runs, 118, "Two runs")
    assert "completed (the model: it ends in time)" in table
    assert "stopped at its deadline (the model: it does not end in time)" in table
    assert " ms (the model: 287 ms)</td><td>–</td>" in table


# With a guest


def test_a_setting_is_tried_for_real(stage: Stage) -> None:
    """Workload and wire are set, it migrates under the limit and deadline, and is a point."""
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


def test_lab_and_guest_are_as_before_after_a_trial(stage: Stage) -> None:
    """The wire has its rate and delay again, and the guest its workload."""
    stage.begin()
    stage.end()
    assert stage.guest.lab.wire.set_to[-1] == WireSpec(800.0, delay_ms=2)
    assert stage.guest.spec.dirty_mib_s == 25


def test_what_cannot_be_set_back_is_reported_and_the_rest_is_set_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wire that refuses leaves no trial's workload behind, and the reader sees why."""

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


def test_a_guest_says_how_much_it_writes_and_needs(stage: Stage) -> None:
    """The working set is the guest's, and cannot be changed while it runs."""
    assert stage.playground.working_set.value == 32
    assert stage.playground.working_set.disabled
    # Recorded guests have a working set of 64 MiB, and 118 in use.
    assert stage.playground.memory.value == 118 - 32


def test_a_great_guest_is_not_taken_for_a_smaller_one(make_run: MakeRun) -> None:
    """Memory beyond the slider's usual end is shown as it is, on field and slider."""
    guest = FakeGuest()
    guest.spec.working_set_mib = 1000
    recorded = SimpleNamespace(measured=[make_run()])
    playground = ConvergenceExplorer(recorded, guest)  # type: ignore[arg-type]
    assert playground.working_set.value == 1000
    assert playground.memory.value == 118 - 64 + 1000
    assert playground.settings.working_set_mib == 1000
    playground.close()
    assert playground.wait(TIMEOUT_S)


def test_a_drawing_that_is_refused_is_reported_with_its_hint(
    playground: ConvergenceExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What migrationlab refuses is no fault of migrationlab."""

    def refuse(*_: object, **__: object) -> None:
        raise LabError("nothing to draw", hint="look elsewhere")

    monkeypatch.setattr(plots, "convergence", refuse)
    playground.dirty.value = 60
    assert playground.wait(TIMEOUT_S)
    assert "nothing to draw" in playground.results.value
    assert "look elsewhere" in playground.results.value
    assert "fault" not in playground.results.value


def test_a_trial_is_cancelled_and_another_started(stage: Stage) -> None:
    """Cancel ends it and it is a point too; then the button works again."""
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


def test_a_cancel_before_there_is_anything_to_cancel_is_not_lost(stage: Stage) -> None:
    """While it still connects, Cancel is pressed: what comes of it is cancelled."""
    stage.connected.clear()
    stage.begin()
    stage.playground.cancel_button.click()
    stage.connected.set()
    assert stage.playground.wait(TIMEOUT_S)
    assert [run.outcome for run in stage.playground.runs] == [Outcome.CANCELLED]


def test_a_second_press_starts_nothing(stage: Stage) -> None:
    """While one is under way there is only one."""
    stage.begin()
    stage.playground.start()
    stage.end()
    assert len(stage.plans) == 1


def test_a_refusal_is_shown_with_its_hint(stage: Stage) -> None:
    """What the host says and what to do about it; and it can be tried again."""
    stage.refusal = HostError("no room", hint="Make room.")
    stage.begin()
    assert stage.playground.wait(TIMEOUT_S)
    assert "no room" in stage.playground.message.value
    assert "Make room." in stage.playground.message.value
    assert not stage.playground.start_button.disabled


def test_a_lab_that_died_is_named_with_the_cell_to_run(stage: Stage) -> None:
    """Before a trial and in the middle of one."""
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
def test_a_fault_of_migrationlab_is_shown_and_the_explorer_lives_on(stage: Stage) -> None:
    """What nobody expected is reported, and the button works again."""
    stage.refusal = ValueError("no ink")
    stage.begin()
    assert stage.playground.wait(TIMEOUT_S)
    assert "A bug in migrationlab: ValueError(&#39;no ink&#39;)" in stage.playground.message.value
    assert not stage.playground.start_button.disabled


def test_close_cancels_what_runs_and_starts_nothing_more(stage: Stage) -> None:
    """Nothing is left running, and a press afterwards begins nothing."""
    stage.begin()
    stage.playground.close()
    assert [run.outcome for run in stage.playground.runs] == [Outcome.CANCELLED]
    stage.playground.start()
    assert len(stage.plans) == 1
