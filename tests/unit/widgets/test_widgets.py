"""What the notebooks show: drawing, fields, words and steps."""

from __future__ import annotations

import base64
import dataclasses
import html
import itertools
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.errors import PlanError
from migrationlab.plan.plan import Mode, Plan
from migrationlab.runs.run import Outcome, Run, Runs
from migrationlab.steps import Step
from migrationlab.widgets import StepList, draw
from migrationlab.widgets.views import run_tables
from migrationlab.widgets.views.form_values import FormValues, HostPair, uri_fields, whole_number

ENDS = HostPair("host-a", "host-b", "qemu+ssh://root@host-b/system")
TIMEOUT_S = 20
SVG = "{http://www.w3.org/2000/svg}"


# The drawing


@pytest.mark.parametrize("mode", list(Mode))
def test_drawing_has_an_arrow_and_a_sentence_per_connection(mode: Mode) -> None:
    """Each connection of the plan has an arrow and a sentence."""
    plan = Plan(mode=mode).filled(destination="host-b")
    drawing = draw(plan, source="host-a", destination="host-b")
    root = ET.fromstring(drawing.svg)
    assert len(root.findall(f"{SVG}polygon")) == len(drawing.sentences) == len(plan.connections())
    for talk, sentence in zip(plan.connections(), drawing.sentences, strict=True):
        assert str(talk.uri) in sentence
    assert str(drawing).splitlines()[1:] == [
        f"{n}. {sentence}" for n, sentence in enumerate(drawing.sentences, 1)
    ]


def test_drawings_differ_in_who_connects_to_the_destination() -> None:
    """The client connects in normal mode, the source's libvirtd in peer2peer."""
    normal, peer2peer = (
        draw(Plan(mode=mode), source="host-a", destination="host-b").sentences for mode in Mode
    )
    assert normal[1] == "The client connects to host-b's libvirtd and controls it"
    assert peer2peer[1] == "host-a's libvirtd connects to host-b's libvirtd and controls it"
    assert (normal[0], normal[2]) == (peer2peer[0], peer2peer[2])


def test_dashed_arrow_is_there_where_libvirtd_connects_for_qemu() -> None:
    """QEMU connects itself with several connections, so then nothing is handed over."""
    one, several = (draw(Plan(parallel=x), source="a", destination="b") for x in (False, True))
    assert "hands over" in one.svg
    assert "a's libvirtd connects to b's QEMU" in one.sentences[2]
    assert "hands over" not in several.svg
    assert "a's QEMU connects to b's QEMU" in several.sentences[2]


def test_tunnelled_memory_shares_the_connection_of_the_libvirtds() -> None:
    """The third sentence tells of memory, not of control."""
    tunnel = draw(Plan(mode="peer2peer", tunnelled=True), source="a", destination="b")
    assert "a's libvirtd sends the guest's memory to b's libvirtd" in tunnel.sentences[2]


def test_no_arrow_of_a_drawing_covers_another() -> None:
    """Each arrow has its own place, also where two share a connection."""
    tunnel = Plan(mode="peer2peer", tunnelled=True)
    for plan in (*(Plan(mode=mode) for mode in Mode), tunnel):
        root = ET.fromstring(draw(plan, source="a", destination="b").svg)
        places = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in root.iter(f"{SVG}circle")]
        radius = float(next(root.iter(f"{SVG}circle")).get("r", 0))
        assert all(math.dist(*pair) > 2 * radius for pair in itertools.combinations(places, 2))
        assert "the guest's memory" in [text.text for text in root.iter(f"{SVG}text")]


def test_drawing_has_a_name_and_a_description() -> None:
    """The image's name is its title, its description the sentences, with unique ids."""
    plan = Plan(mode="peer2peer").filled(destination="host-b")
    drawing = draw(plan, source="host-a", destination="host-b")
    root = ET.fromstring(drawing.svg)
    ids = {element.get("id"): element.text for element in root.iter() if element.get("id")}
    assert root.get("role") == "img"
    assert ids[root.get("aria-labelledby")] == "peer2peer migration: who connects to whom"
    assert ids[root.get("aria-describedby")] == ". ".join(drawing.sentences) + "."
    other = draw(Plan(), source="host-a", destination="host-b").svg
    assert ET.fromstring(other).get("aria-labelledby") not in ids


def test_drawing_is_shown_in_an_untrusted_notebook() -> None:
    """Jupyter removes SVG elements there, so the output is an image with alternative text."""
    drawing = draw(Plan(), source="host-a", destination="host-b")
    shown = drawing._repr_html_()
    assert "<svg" not in shown
    (data,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', shown)
    assert base64.b64decode(data).decode() == drawing.svg
    assert all(sentence in html.unescape(shown) for sentence in drawing.sentences)


def test_names_in_a_drawing_are_escaped() -> None:
    """Markup in a name is shown as text."""
    drawing = draw(Plan(), source="<script>a</script>", destination="b&c")
    assert "<script>" not in drawing.html() + drawing._repr_html_()
    assert "b&c" in "".join(ET.fromstring(drawing.svg).itertext())


# The fields


def test_empty_fields_give_a_valid_plan() -> None:
    """Empty fields give the plan that a script gets from Plan().filled()."""
    reading = FormValues(mode=Mode.NORMAL).read(ENDS)
    assert reading.problems == ()
    assert reading.plan == Plan().filled(destination="host-b")


def test_fields_give_the_plan() -> None:
    """Each field is in the plan, with a number as a number."""
    form = FormValues(
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
def test_wrong_field_is_explained_at_the_field(name: str, text: str) -> None:
    """The field shows the problem and its hint; a wrong URI has a suggestion."""
    reading = FormValues(mode=Mode.NORMAL, **{name: text}).read(ENDS)
    (problem, *_) = reading.problems_of(name)
    assert problem.reason
    assert problem.hint
    assert {other.field for other in reading.problems} == {name}
    assert (problem.suggestion is not None) == name.endswith("uri")


@given(
    mode=st.sampled_from(Mode),
    postcopy=st.booleans(),
    auto_converge=st.booleans(),
    parallel_connections=st.sampled_from(["", "4", "0", "many"]),
    compression=st.sampled_from(["", "xbzrle", "zlib", "zstd"]),
    bandwidth_mib_s=st.sampled_from(["", "20", "fast"]),
)
def test_every_error_belongs_to_a_field_of_the_panel(**values: Any) -> None:
    """No combination of settings is refused at a field that the panel does not have."""
    known = {one.name for one in dataclasses.fields(FormValues)}
    assert {problem.field for problem in FormValues(**values).read(ENDS).problems} <= known


def test_number_of_connections_turns_on_parallel() -> None:
    """One field sets both settings, which only work together."""
    plan = (
        FormValues(mode=Mode.NORMAL, parallel_connections="4", compression="zstd").read(ENDS).plan
    )
    assert (plan.parallel, plan.parallel_connections) == (True, 4)
    assert not FormValues(mode=Mode.NORMAL).read(ENDS).plan.parallel


@pytest.mark.parametrize("text", ["", "soon", "2.5"])
def test_steering_value_is_an_integer(text: str) -> None:
    """Other text is refused, and the error names the unit."""
    assert whole_number("max_downtime_ms", " 500 ") == 500
    with pytest.raises(PlanError, match="whole number of ms"):
        whole_number("max_downtime_ms", text)


def test_mode_decides_the_order_of_uris_and_who_connects() -> None:
    """Normal asks for the migration URI first, peer2peer for the connection URI."""
    normal, peer2peer = (uri_fields(mode, ENDS) for mode in Mode)
    assert [name for name, _ in normal] == ["migration_uri", "connection_uri"]
    assert [name for name, _ in peer2peer] == ["connection_uri", "migration_uri"]
    assert "The client connects to it" in dict(normal)["connection_uri"]
    assert "host-a's libvirtd connects to it" in dict(peer2peer)["connection_uri"]


# The words


@pytest.mark.parametrize("outcome", list(Outcome))
def test_verdict_states_outcome_place_and_memory(
    make_run: Callable[..., Run], outcome: Outcome
) -> None:
    """Each outcome has its text, which a screen reader reads; a failure has libvirt's too."""
    run = make_run(outcome=str(outcome))
    text = run_tables.verdict(run)
    assert 'role="status"' in text
    assert "intact" in text
    assert ("runs on host-b" in text) == (outcome is Outcome.COMPLETED)
    silent = (Outcome.COMPLETED, Outcome.GUEST_LOST, Outcome.UNRESOLVED)
    there = {Outcome.INTERRUPTED: "host-b", **dict.fromkeys(silent, "")}.get(outcome, "host-a")
    assert ("continues at" in text) == bool(there)
    assert f"continues at {there}" in text or not there
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
def test_verdict_says_running_only_of_a_running_guest(
    make_run: Callable[..., Run], state: str, words: str
) -> None:
    """Only a guest that was found running is described as running."""
    states = {"source": "absent", "destination": state}
    assert words in run_tables.verdict(dataclasses.replace(make_run(), domain_states=states))


def test_verdict_of_failed_offline_migration_reports_no_loss(make_run: Callable[..., Run]) -> None:
    """A domain that was not to run anywhere is not reported as lost."""
    made = make_run(outcome="failed")
    offline = dataclasses.replace(
        made,
        plan=dataclasses.replace(made.plan, offline=True, persistent=True),
        domain_states={"source": "shut off", "destination": "absent"},
    )
    text = run_tables.verdict(offline)
    assert "failed after" in text
    assert "was found on neither" not in text


def test_verdict_reports_damaged_memory(
    recording: type[Any],
) -> None:
    """A guest with damaged memory is called damaged, in the frame of an error."""
    check = {"intact": False, "pages": 16384, "bad_pages": 3, "writes": 40000}
    text = run_tables.verdict(recording().build(guest_check=check))
    assert "DAMAGED" in text
    assert "border-left" in text
    whole = run_tables.verdict(recording().build(guest_check={**check, "intact": True}))
    assert "border-left" not in whole


def test_table_has_a_row_per_run_and_dashes_for_unknowns(
    make_run: Callable[..., Run],
) -> None:
    """The newest run comes first, and an unknown value is never a number."""
    runs = Runs([make_run(number=1), make_run(number=2, outcome="cancelled")])
    table = run_tables.overview(runs)
    assert table.count("<tr") == 3
    assert table.index("cancelled") < table.index("completed")
    assert "–" in table
    assert "NA" not in table
    assert "nan" not in table


# The steps


def test_steps_show_name_progress_and_duration() -> None:
    """A running step has a bar with its name; a finished step has its duration."""
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


def test_failed_step_shows_its_reason() -> None:
    """The reason stays on the page, as text."""
    steps = StepList(clock=lambda: 0.0)
    steps(Step("starting", "started"))
    steps(Step("starting", "failed", "no <namespaces>"))
    assert "✗ starting: no &lt;namespaces&gt;" in steps._repr_html_()


def test_finished_step_ignores_late_progress() -> None:
    """A sample that another thread reports after the end does not reopen the step."""
    steps = StepList(clock=lambda: 0.0)
    for state in ("started", "done", "progress"):
        steps(Step("migrating", state))
    assert repr(steps) == "StepList(migrating: done)"
    steps(Step("migrating", "started"))
    assert repr(steps) == "StepList(migrating: started)"
