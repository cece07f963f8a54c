"""What the notebooks show: drawing, fields, words and steps; and the panel on a stage of fakes.

The fakes let a test hold a migration at any moment. A test proves that they answer to the same
calls as what they stand for; ``tests/notebooks/test_panel.py`` has the same panel on real hosts.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import inspect
import re
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from migrationlab.errors import HostError, LabError, MigrationLabError
from migrationlab.hosts import Host
from migrationlab.lab.guest import Guest
from migrationlab.lab.lab import Lab
from migrationlab.migrate import start
from migrationlab.migration import Migration
from migrationlab.plan import Mode, Plan
from migrationlab.runs import Outcome, Run, Runs
from migrationlab.steps import Listener, Step, ignore
from migrationlab.widgets import MigrationPanel, StepList, draw, markup
from migrationlab.widgets.form import Ends, Form, uri_fields

ENDS = Ends("host-a", "host-b", "qemu+ssh://root@host-b/system")
TIMEOUT_S = 20
SVG = "{http://www.w3.org/2000/svg}"


# The drawing


@pytest.mark.parametrize("mode", list(Mode))
def test_drawing_has_an_arrow_and_a_sentence_for_each_talk(mode: Mode) -> None:
    """What the plan says of who talks to whom is drawn, and said in words, all of it."""
    plan = Plan(mode=mode).filled(destination="host-b")
    drawing = draw(plan, source="host-a", destination="host-b")
    root = ET.fromstring(drawing.svg)
    assert len(root.findall(f"{SVG}polygon")) == len(drawing.sentences) == len(plan.talks())
    for talk, sentence in zip(plan.talks(), drawing.sentences, strict=True):
        assert str(talk.uri) in sentence
    assert str(drawing).splitlines()[1:] == [
        f"{n}. {sentence}" for n, sentence in enumerate(drawing.sentences, 1)
    ]


def test_drawings_differ_in_who_dials_the_destination() -> None:
    """The client in normal, the source's libvirtd in peer2peer: only the second talk changes."""
    normal, peer2peer = (
        draw(Plan(mode=mode), source="host-a", destination="host-b").sentences for mode in Mode
    )
    assert normal[1] == "The client dials and controls host-b's libvirtd"
    assert peer2peer[1] == "host-a's libvirtd dials and controls host-b's libvirtd"
    assert (normal[0], normal[2]) == (peer2peer[0], peer2peer[2])


def test_drawing_is_named_and_described_for_who_cannot_see_it() -> None:
    """The image's name is its title, its description the sentences, by ids of its own."""
    plan = Plan(mode="peer2peer").filled(destination="host-b")
    drawing = draw(plan, source="host-a", destination="host-b")
    root = ET.fromstring(drawing.svg)
    ids = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert root.get("role") == "img"
    assert ids[root.get("aria-labelledby")] == "peer2peer migration: who talks to whom"
    assert ids[root.get("aria-describedby")] == ". ".join(drawing.sentences) + "."
    other = draw(Plan(), source="host-a", destination="host-b").svg
    assert ET.fromstring(other).get("aria-labelledby") not in ids


def test_drawing_survives_in_a_notebook_that_is_not_trusted() -> None:
    """Jupyter strips SVG elements there: the cell's output is an image, with the words as text."""
    drawing = draw(Plan(), source="host-a", destination="host-b")
    shown = drawing._repr_html_()
    assert "<svg" not in shown
    (data,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', shown)
    assert base64.b64decode(data).decode() == drawing.svg
    assert all(html.escape(sentence) in shown for sentence in drawing.sentences)


def test_names_in_a_drawing_are_text_and_nothing_else() -> None:
    """A name with markup in it is shown, not obeyed."""
    drawing = draw(Plan(), source="<script>a</script>", destination="b&c")
    assert "<script>" not in drawing.html() + drawing._repr_html_()
    assert "b&c" in "".join(ET.fromstring(drawing.svg).itertext())


# The fields


def test_empty_fields_are_a_good_plan_with_the_uris_filled_in() -> None:
    """Nothing typed is the plan that a script gets from Plan().filled()."""
    reading = Form(mode=Mode.NORMAL).read(ENDS)
    assert reading.problems == ()
    assert reading.plan == Plan().filled(destination="host-b")


def test_fields_are_the_plan_that_they_say() -> None:
    """Each field arrives in the plan, as a number where it is one."""
    form = Form(
        mode=Mode.PEER2PEER,
        migration_uri="tcp://host-b:49200",
        connection_uri=" qemu+tcp://host-b/system ",
        bandwidth_mib_s="20",
        max_downtime_ms="500",
        deadline_s="2.5",
    )
    assert form.read(ENDS).plan == Plan(
        mode="peer2peer",
        migration_uri="tcp://host-b:49200",
        connection_uri="qemu+tcp://host-b/system",
        bandwidth_mib_s=20,
        max_downtime_ms=500,
        deadline_s=2.5,
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("migration_uri", "qemu+ssh://root@host-b/system"),
        ("migration_uri", "tcp://host-a"),
        ("connection_uri", "tcp://host-b"),
        ("bandwidth_mib_s", "fast"),
        ("bandwidth_mib_s", "-1"),
        ("max_downtime_ms", "0.5"),
        ("deadline_s", "soon"),
        ("deadline_s", "0"),
        ("deadline_s", "nan"),
    ],
)
def test_each_wrong_field_is_explained_at_that_field(name: str, text: str) -> None:
    """What is wrong, and what to do, stand at the field; a good URI is offered for a bad one."""
    reading = Form(mode=Mode.NORMAL, **{name: text}).read(ENDS)
    (problem, *_) = reading.about(name)
    assert problem.reason
    assert problem.hint
    assert {other.field for other in reading.problems} == {name}
    assert (problem.suggestion is not None) == name.endswith("uri")


def test_mode_decides_which_uri_is_asked_for_first_and_who_dials_it() -> None:
    """Normal asks for the migration URI first, peer2peer for the connection URI."""
    normal, peer2peer = (uri_fields(mode, ENDS) for mode in Mode)
    assert [name for name, _ in normal] == ["migration_uri", "connection_uri"]
    assert [name for name, _ in peer2peer] == ["connection_uri", "migration_uri"]
    assert "The client dials it" in dict(normal)["connection_uri"]
    assert "host-a's libvirtd dials it" in dict(peer2peer)["connection_uri"]


# The words


@pytest.mark.parametrize("outcome", list(Outcome))
def test_verdict_says_how_it_ended_where_the_guest_is_and_whether_it_is_whole(
    make_run: Callable[..., Run], outcome: Outcome
) -> None:
    """Every outcome has its words, read out by a screen reader; a failure has libvirt's too."""
    run = make_run(outcome=str(outcome))
    text = markup.verdict(run)
    assert 'role="status"' in text
    assert "intact" in text
    assert ("runs on host-b" in text) == (outcome is Outcome.COMPLETED)
    there = {Outcome.COMPLETED: "", Outcome.INTERRUPTED: "host-b"}.get(outcome, "host-a")
    assert ("goes on at" in text) == bool(there)
    assert f"goes on at {there}" in text or not there
    if outcome is Outcome.FAILED:
        assert run.error is not None
        assert "unable to connect to server" in text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("running", "it runs on host-b"),
        ("paused", "it is paused on host-b"),
        ("shut off", "it is defined on host-b"),
        ("unknown", "it went to host-b"),
    ],
)
def test_verdict_says_how_it_arrived(make_run: Callable[..., Run], state: str, words: str) -> None:
    """Only a guest that was found running is said to run."""
    states = {"source": "absent", "destination": state}
    assert words in markup.verdict(dataclasses.replace(make_run(), domain_states=states))


def test_verdict_of_an_offline_migration_that_failed(make_run: Callable[..., Run]) -> None:
    """A domain that was not to run anywhere is not said to be lost."""
    made = make_run(outcome="failed")
    offline = dataclasses.replace(
        made,
        plan=dataclasses.replace(made.plan, offline=True, persistent=True),
        domain_states={"source": "shut off", "destination": "absent"},
    )
    text = markup.verdict(offline)
    assert "failed after" in text
    assert "nobody knows" not in text


def test_verdict_does_not_hide_damage(
    recording: type[Any],
) -> None:
    """A guest whose memory did not survive is called damaged, in the colour of errors."""
    check = {"intact": False, "pages": 16384, "bad_pages": 3, "writes": 40000}
    text = markup.verdict(recording().build(guest_check=check))
    assert "DAMAGED" in text
    assert "color:" in text


def test_table_has_a_row_for_each_run_and_a_dash_for_what_is_unknown(
    make_run: Callable[..., Run],
) -> None:
    """The newest run comes first, and nothing unknown is shown as a number."""
    runs = Runs([make_run(number=1), make_run(number=2, outcome="cancelled")])
    table = markup.table(runs)
    assert table.count("<tr") == 3
    assert table.index("cancelled") < table.index("completed")
    assert "–" in table
    assert "NA" not in table
    assert "nan" not in table


# The steps


def test_steps_show_what_how_far_and_how_long() -> None:
    """A step under way has a bar that names itself; a finished one the time that it took."""
    now = iter([10.0, 11.0, 12.5])
    steps = StepList(clock=lambda: next(now))
    steps(Step("building the image", "started"))
    steps(Step("building the image", "progress", "unpacking", 0.25))
    shown = steps._repr_html_()
    assert 'value="0.250"' in shown
    assert 'aria-label="building the image"' in shown
    steps(Step("building the image", "done"))
    shown = steps._repr_html_()
    assert "✓ building the image (2.5 s)" in shown
    assert "<progress" not in shown
    assert repr(steps) == "StepList(building the image: done)"


def test_a_failed_step_says_why() -> None:
    """The reason stays on the page, as text."""
    steps = StepList(clock=lambda: 0.0)
    steps(Step("starting", "started"))
    steps(Step("starting", "failed", "no <namespaces>"))
    assert "✗ starting: no &lt;namespaces&gt;" in steps._repr_html_()


# The panel


@dataclass(eq=False)
class FakeHost:
    """A host that is only named."""

    name: str

    @property
    def peer_name(self) -> str:
        """Return its name."""
        return self.name

    @property
    def peer_uri(self) -> str:
        """Return where its libvirtd would be."""
        return f"qemu+ssh://root@{self.name}/system"


class FakeLab:
    """A lab that can die at will."""

    def __init__(self) -> None:
        self.hosts = (FakeHost("host-a"), FakeHost("host-b"))
        self.alive = True

    def other(self, host: FakeHost) -> FakeHost:
        """Return the host that ``host`` is not."""
        return self.hosts[1] if host is self.hosts[0] else self.hosts[0]


class FakeGuest:
    """A guest that is moved by saying so."""

    def __init__(self) -> None:
        self.lab = FakeLab()
        self.name = "guest-1"
        self.host = self.lab.hosts[0]


@dataclass
class FakeMigration:
    """A migration that is over when the test says so, or when it is cancelled."""

    runs: Callable[[str], Run]
    ended: threading.Event = field(default_factory=threading.Event)
    outcome: str = "completed"
    failure: MigrationLabError | None = None

    def cancel(self) -> None:
        """Be over, cancelled."""
        self.outcome = "cancelled"
        self.ended.set()

    def wait(self, timeout_s: float | None = None) -> Run:
        """Wait for the end."""
        assert self.ended.wait(TIMEOUT_S if timeout_s is None else timeout_s)
        if self.failure is not None:
            raise self.failure
        return self.runs(self.outcome)


class Stage:
    """A panel, its fakes, and the strings that a test pulls."""

    def __init__(self, make_run: Callable[..., Run]) -> None:
        self.guest = FakeGuest()
        self.plans: list[Plan] = []
        self.asked = threading.Event()
        self.connected = threading.Event()
        self.connected.set()
        self.on_step: Listener = ignore
        self.refusal: BaseException | None = None
        self._make_run = make_run
        self.migration = FakeMigration(self._run)
        self.panel = MigrationPanel(self.guest, start=self.start)  # type: ignore[arg-type]

    def start(
        self, guest: FakeGuest, *, to: FakeHost, plan: Plan, on_step: Listener = ignore
    ) -> FakeMigration:
        """Start, as ``migrationlab.start`` does."""
        self.plans.append(plan)
        self.asked.set()
        assert self.connected.wait(TIMEOUT_S)
        if self.refusal is not None:
            raise self.refusal
        self.on_step = on_step
        self._to = to
        on_step(Step("migrating", "started", "peer2peer"))
        return self.migration

    def end(self) -> None:
        """Let the migration come to its end, and wait until it is on the page."""
        self.migration.ended.set()
        assert self.panel.wait(TIMEOUT_S)

    def begin(self) -> None:
        """Press Start, and wait until the migration is asked for."""
        self.asked.clear()
        self.migration.ended.clear()
        self.migration.outcome = "completed"
        self.panel.start_button.click()
        assert self.asked.wait(TIMEOUT_S)

    def _run(self, outcome: str) -> Run:
        if outcome == "completed":
            self.guest.host = self._to
        return self._make_run(outcome=outcome, number=len(self.plans))


@pytest.fixture
def stage(make_run: Callable[..., Run]) -> Iterator[Stage]:
    """Give a stage, and close its panel."""
    made = Stage(make_run)
    yield made
    made.connected.set()
    made.panel.close()


@pytest.mark.parametrize(
    ("fake", "real"),
    [
        (FakeHost, Host),
        (FakeLab, Lab),
        (FakeGuest, Guest),
        (FakeMigration, Migration),
    ],
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


def test_choosing_the_mode_changes_command_drawing_and_order(stage: Stage) -> None:
    """Peer2peer adds --p2p, moves an arrow, and asks for the connection URI first."""
    panel = stage.panel
    normal = panel.drawing.value
    assert "--p2p" not in panel.virsh.value
    first = panel._form_box.children[0]
    panel.mode.value = Mode.PEER2PEER
    assert "--p2p" in panel.virsh.value
    assert panel.drawing.value != normal
    assert panel._form_box.children[0] is not first
    assert panel._form_box.children[0].children[0] is panel.connection_uri


def test_wrong_input_is_explained_and_never_started(stage: Stage) -> None:
    """Start is off while a field is wrong; the suggestion, one press away, puts it right."""
    panel = stage.panel
    panel.migration_uri.value = "qemu+ssh://root@host-b/system"
    assert "is a libvirt connection URI" in panel._faults["migration_uri"].value
    assert "No command" in panel.virsh.value
    assert panel.start_button.disabled
    panel.start()
    assert stage.plans == []
    remedy = panel._remedies["migration_uri"]
    assert remedy.description == "Use tcp://host-b"
    remedy.click()
    assert panel.migration_uri.value == "tcp://host-b"
    assert panel._faults["migration_uri"].value == ""
    assert not panel.start_button.disabled


def test_to_the_end_and_back_again(stage: Stage) -> None:
    """After a migration come words, table and figures, and the next one goes the other way."""
    panel = stage.panel
    panel.connection_uri.value = "qemu+ssh://root@host-b/system"
    stage.begin()
    assert panel.start_button.disabled
    assert panel.connection_uri.disabled
    stage.on_step(Step("migrating", "progress", "pass 2, 44 MiB to go, 112 MiB/s", 0.8))
    assert "pass 2, 44 MiB to go, 112 MiB/s" in panel.progress.value
    assert 'value="0.800"' in panel.progress.value
    stage.end()
    assert "completed" in panel.message.value
    assert panel.results.value.count("<img ") == 2
    assert panel.progress.value == ""
    assert "host-b → host-a" in panel.heading.value
    # It named host-b, where the guest is now.
    assert panel.connection_uri.value == ""
    assert not panel.start_button.disabled
    stage.begin()
    stage.end()
    assert [plan.migration_uri for plan in stage.plans] == ["tcp://host-b", "tcp://host-a"]
    assert len(panel.runs) == 2
    assert panel.results.value.count("<img ") == 3


def test_a_second_press_starts_nothing(stage: Stage) -> None:
    """While one migration runs there is no other."""
    stage.begin()
    stage.panel.start()
    stage.end()
    assert len(stage.plans) == 1


def test_cancel_ends_what_runs(stage: Stage) -> None:
    """The guest stays, the form keeps its values, and Start is ready again."""
    panel = stage.panel
    assert panel.cancel_button.disabled
    panel.bandwidth.value = "20"
    stage.begin()
    assert not panel.cancel_button.disabled
    panel.cancel_button.click()
    assert panel.wait(TIMEOUT_S)
    assert "cancelled" in panel.message.value
    assert "host-a → host-b" in panel.heading.value
    assert panel.bandwidth.value == "20"
    assert not panel.start_button.disabled


def test_cancel_is_kept_until_there_is_something_to_cancel(stage: Stage) -> None:
    """A cancel while the connections are still being made is not lost."""
    stage.connected.clear()
    stage.begin()
    stage.panel.cancel_button.click()
    assert stage.panel.cancel_button.disabled
    stage.connected.set()
    assert stage.panel.wait(TIMEOUT_S)
    assert "cancelled" in stage.panel.message.value


def test_a_refusal_is_shown_with_its_hint(stage: Stage) -> None:
    """What the kit refuses is said on the panel, not in a log."""
    stage.refusal = HostError("Cannot recv data", hint="mend <sshd>")
    stage.begin()
    assert stage.panel.wait(TIMEOUT_S)
    assert "Cannot recv data" in stage.panel.message.value
    assert "mend &lt;sshd&gt;" in stage.panel.message.value
    assert not stage.panel.start_button.disabled


def test_a_lab_that_died_is_named_with_the_cell_to_run(stage: Stage) -> None:
    """Whether it died before or during a migration, the panel says what to run again."""
    stage.begin()
    stage.migration.failure = HostError("internal error: client socket is closed")
    stage.guest.lab.alive = False
    stage.end()
    assert "Run the cell with mig.Lab(…) again" in stage.panel.message.value
    stage.panel.message.value = ""
    stage.panel.start()
    assert stage.panel.wait(TIMEOUT_S)
    assert "Run the cell with mig.Lab(…) again" in stage.panel.message.value
    assert len(stage.plans) == 1


def test_no_panel_for_a_lab_that_is_down() -> None:
    """A panel that could do nothing is not made; the error says what to run."""
    guest = FakeGuest()
    guest.lab.alive = False
    with pytest.raises(LabError) as caught:
        MigrationPanel(guest)  # type: ignore[arg-type]
    assert "mig.Lab(…)" in caught.value.hint


def test_a_guest_that_moved_elsewhere_is_not_migrated_unseen(stage: Stage) -> None:
    """If another cell has moved the guest, the panel turns round and lets the user look first."""
    stage.guest.host = stage.guest.lab.hosts[1]
    stage.panel.start_button.click()
    assert stage.panel.wait(TIMEOUT_S)
    assert stage.plans == []
    assert "moved in the meantime" in stage.panel.message.value
    assert "host-b → host-a" in stage.panel.heading.value


def test_a_fault_of_the_kit_is_shown_and_the_panel_lives_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw reaches the page and the log, and Start works again."""
    logged: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", logged.append)
    stage.refusal = ZeroDivisionError("unforeseen")
    stage.begin()
    for thread in threading.enumerate():
        if thread.name == "migration-panel":
            thread.join(TIMEOUT_S)
    assert [args.exc_value for args in logged] == [stage.refusal]
    assert "unforeseen" in stage.panel.message.value
    assert not stage.panel.start_button.disabled


def test_close_cancels_what_runs(stage: Stage) -> None:
    """A closed panel leaves no migration behind."""
    stage.begin()
    stage.panel.close()
    assert stage.migration.outcome == "cancelled"
    assert stage.panel.wait(0)


def test_callbacks_return_at_once(stage: Stage) -> None:
    """Pressing Start while the connections hang does not hold up the kernel."""
    stage.connected.clear()
    stage.begin()  # returns although nothing is connected
    stage.panel.mode.value = Mode.PEER2PEER
    assert "--p2p" in stage.panel.virsh.value
    stage.connected.set()
    stage.end()


def test_a_saved_panel_shows_its_drawing(stage: Stage) -> None:
    """Where there is no kernel, the reader of a notebook still sees who talks to whom."""
    bundle = stage.panel._repr_mimebundle_()
    assert bundle["text/plain"] == "MigrationPanel('guest-1', 0 runs)"
    assert "run this cell" in bundle["text/html"]
    assert "<img " in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
