"""Read a design: its cells, its error messages, its TOML."""

from __future__ import annotations

import dataclasses
import inspect
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.errors import GuestError, PlanError, StoreError, UsageError
from migrationlab.experiment.design import Design, read, read_file
from migrationlab.experiment.feasibility import require_possible, require_room
from migrationlab.experiment.spec import slug, to_toml
from migrationlab.lab.lab import Lab
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.wire_spec import WireSpec

WHY = "Does peer2peer take longer?"


def design(**spec: Any) -> Design:
    """Read a design with the usual question."""
    return read({"question": WHY, **spec})


def names(found: Design) -> list[str]:
    """Return the names of a design's cells."""
    return [cell.name for cell in found.cells]


def test_real_hosts_have_no_workload_or_wire() -> None:
    """The guest and the network of real hosts are not part of the cells."""
    where = {"source": "qemu+ssh://a/system", "to": "qemu+ssh://b/system", "domain": "web1"}
    found = design(plan={"mode": ["normal", "peer2peer"]}, hosts=where)
    assert found.images is None
    assert found.hosts is not None
    assert found.hosts.domain == "web1"
    assert found.hosts.probe is None
    # Python code gives None for no probe.
    assert design(hosts=where | {"probe": None}).hosts == found.hosts
    assert design(hosts=where | {"source": "qemu:///system"}).hosts is not None
    assert found.cells[0].workload is None
    assert found.cells[0].wire is None


def test_defaults_equal_the_labs() -> None:
    """A workload that is left out equals the defaults of ``Lab.boot``."""
    boot = inspect.signature(Lab.boot).parameters
    for field in dataclasses.fields(GuestSpec):
        assert boot[field.name].default == field.default, field.name
    assert inspect.signature(Lab).parameters["wire_mbit_s"].default == WireSpec().rate_mbit_s


WHERE = {"source": "qemu+ssh://a/system", "to": "qemu+ssh://b/system", "domain": "web1"}


@pytest.mark.parametrize(
    ("spec", "path", "hint"),
    [
        ({"question": " "}, "question must not be empty", "Does"),
        ({"question": 3}, "question must be a text (got 3)", "quotes"),
        ({"repeat": 3}, "repeat: no such key", "Did you mean repeats?"),
        ({"repeats": 0}, "repeats must be an integer from 1 to 10000 (got 0)", "repeats = 10"),
        ({"repeats": True}, "repeats must be an integer", "Give"),
        ({"repeats": 2.5}, "repeats must be an integer", "Give"),
        ({"warm_ups": -1}, "warm_ups must be an integer from 0 to 1000 (got -1)", "Give"),
        ({"seed": "x"}, "seed must be an integer", "Give"),
        ({"name": "A B"}, "name must be small letters", '"a-b"'),
        ({"plan": {}, "plans": {"a": {}}}, "plan and plans must not", "Cross"),
        ({"plans": {}}, "plans must be a table of named plans", "names"),
        ({"plans": {"a": 3}}, "plans.a must be a table (got 3)", "[plans.a]"),
        (
            {"plan": {"mode": []}},
            "plan.mode must have at least one alternative",
            "leave the key out",
        ),
        ({"plan": {"mode": {"a": 1}}}, "plan.mode must be a value", "plans"),
        ({"workload": {}, "guests": {"a": {}}}, "workload and guests must not", "Cross"),
        ({"guests": {}}, "guests must be a table of named guests", "[guests.busy]"),
        ({"guests": {"a": 3}}, "guests.a must be a table (got 3)", "[guests.a]"),
        ({"guests": {"a": {"pattern": []}}}, "guests.a.pattern must be one value", "Name a guest"),
        ({"guests": {"a": {"dirty": 3}}}, "guests.a.dirty: no such key", "Did you mean"),
        ({"hosts": WHERE, "guests": {"a": {}}}, "guests must be left out", "Leave out guests"),
        ({"workload": {"dirty": 3}}, "workload.dirty: no such key", "Did you mean"),
        ({"workload": []}, "workload must have at least one table", "Leave it out"),
        ({"workload": [{}, 3]}, "workload[1] must be a table", "[workload[1]]"),
        (
            {"workload": {"dirty_mib_s": math.nan}},
            "workload.dirty_mib_s must be a finite number",
            "number",
        ),
        (
            {"workload": {"dirty_mib_s": [1, b"x"]}},
            "workload.dirty_mib_s[1] must be a number",
            "plain value",
        ),
        ({"wire": {"rate": 3}}, "wire.rate: no such key", "wire_mbit_s"),
        ({"lab": {"images": ["a", "b", "c"]}}, "lab.images must be a release, or two", "bookworm"),
        ({"lab": {"image": "trixie"}}, "lab.image: no such key", "Did you mean images?"),
        ({"lab": {}, "hosts": WHERE}, "lab and hosts must not", "Leave out hosts"),
        ({"hosts": WHERE | {"domain": ""}}, "hosts.domain must not be empty", "a name"),
        ({"hosts": WHERE | {"to": WHERE["source"]}}, "hosts.to must be another host", "two hosts"),
        ({"hosts": WHERE, "workload": {}}, "workload must be left out", "Leave out workload"),
        ({"hosts": WHERE | {"to": "tcp://b"}}, "hosts.to must ", "qemu+ssh://"),
        ({"hosts": WHERE | {"source": "qemu+shh://a/system"}}, "hosts.source must ", "qemu+ssh://"),
    ],
)
def test_invalid_value_names_its_key(spec: dict[str, Any], path: str, hint: str) -> None:
    """Each error begins with the path of the key, and the hint says what to write instead."""
    with pytest.raises(UsageError) as caught:
        design(**spec)
    assert str(caught.value).startswith(path)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"plan": {"mode": ["normal", "direct"]}}, "plan: "),
        ({"plan": {"moed": "normal"}}, "plan: a plan has no setting 'moed'"),
        ({"plan": {"max_downtime_ms": "long"}}, "plan: max_downtime_ms must be a whole number"),
        ({"plans": {"odd": {"zerocopy": True}}}, "plans.odd: zerocopy=True needs "),
    ],
)
def test_invalid_plan_is_refused(spec: dict[str, Any], said: str) -> None:
    """The plan of every cell is validated before anything runs."""
    with pytest.raises(PlanError) as caught:
        design(**spec)
    assert said in str(caught.value)
    assert caught.value.hint


def test_too_many_runs_are_refused() -> None:
    """A grid of a million migrations is refused."""
    with pytest.raises(UsageError, match=r"at most 100000 runs \(got 1000000"):
        design(workload={"dirty_mib_s": range(1000)}, repeats=1000)


@pytest.mark.parametrize(
    ("spec", "error", "said"),
    [
        ({"workload": {"memory_mib": 100}}, GuestError, "cell 'all': memory_mib must be"),
        ({"workload": {"dirty_mib_s": [1, -1]}}, GuestError, "cell 'dirty_mib_s=-1': "),
        ({"workload": {"pattern": "zigzag"}}, GuestError, "zigzag"),
        ({"workload": {"accelerator": "fast"}}, UsageError, "accelerator must be"),
        ({"wire": {"wire_mbit_s": 0}}, UsageError, "wire, cell 'all': rate_mbit_s must be"),
        ({"wire": {"loss_percent": 101}}, UsageError, "loss_percent must be"),
        ({"lab": {"images": "slink"}}, UsageError, "lab.images: the image must be one of"),
    ],
)
def test_cell_that_no_lab_can_run_is_refused(
    spec: dict[str, Any], error: type[UsageError], said: str
) -> None:
    """The lab's rules refuse impossible guests, wires and images, and the error names the cell."""
    with pytest.raises(error) as caught:
        require_possible(design(**spec))
    assert said in str(caught.value)
    assert caught.value.hint


def test_full_disk_is_refused_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that has no room for the runs is refused before the first migration."""
    found = design(repeats=10)
    require_room(found, tmp_path, runs=10)
    usage = dataclasses.make_dataclass("Usage", ["free"])
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1 << 20))
    with pytest.raises(StoreError, match=r"free for 10 runs \(got 1 MiB\)") as caught:
        require_room(found, tmp_path, runs=10)
    assert caught.value.hint
    require_room(found, tmp_path, runs=0)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (WHY, "does-peer2peer-take-longer"),
        ("Is 4 Gbit/s enough?", "is-4-gbit-s-enough"),
        ("¿?", "experiment"),
        ("word " * 40, "word-word-word-word-word-word-word-word"),
        ("w" * 100, "w" * 60),
    ],
)
def test_question_names_the_folder(text: str, name: str) -> None:
    """The default name is the first words of the question, in plain lower case."""
    assert slug(text) == name
    assert slug(name) == name


# --- TOML ---------------------------------------------------------------------------------------

NUMBERS = st.lists(st.integers(0, 1000), min_size=1, max_size=3, unique=True)
SPECS = st.fixed_dictionaries(
    {"question": st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)},
    optional={
        "repeats": st.integers(1, 20),
        "seed": st.integers(0, 2**63 - 1),
        "plan": st.fixed_dictionaries(
            {},
            optional={
                "mode": st.sampled_from(["normal", ["normal", "peer2peer"]]),
                "max_downtime_ms": NUMBERS.map(lambda found: [None, *(n + 1 for n in found)]),
            },
        ),
        "workload": st.fixed_dictionaries({}, optional={"dirty_mib_s": NUMBERS}),
        "wire": st.sampled_from([{"wire_mbit_s": [None, 100]}, [{"delay_ms": 1.5}, {}]]),
    },
)


@given(spec=SPECS)
def test_toml_round_trip_keeps_the_design(
    spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A design written as TOML reads as the same design."""
    found = read(spec)
    path = tmp_path_factory.mktemp("toml") / "x.toml"
    path.write_text(to_toml(found.spec), encoding="utf-8")
    again = read_file(path)
    assert again.cells == found.cells
    assert (again.question, again.name) == (found.question, found.name)
    assert (again.repeats, again.seed) == (found.repeats, found.seed)


def test_hosts_without_a_probe_survive_toml(tmp_path: Path) -> None:
    """A missing probe stays missing and does not become an address named "default"."""
    hosts = {"source": "qemu:///system", "to": "qemu+ssh://b/system", "domain": "web1"}
    found = design(hosts={**hosts, "probe": None})
    path = tmp_path / "x.toml"
    path.write_text(to_toml(found.spec), encoding="utf-8")
    assert read_file(path).hosts == found.hosts == design(hosts=hosts).hosts


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (b"question = ", "Invalid value (at end of document)", "TOML"),
        (
            b'question = "Why?"\nrepeats = "3"',
            "repeats must be an integer from 1 to 10000 (got '3')",
            "repeats =",
        ),
        (b'question = "Why?"\nquestion = "How?"', "Cannot overwrite a value", "TOML"),
        (b'question = "Why?"\n[plan]\nmode = "odd"', "plan: ", "normal"),
        (
            b'question = "Why?"\nseed = 2026-11-22',
            "seed must be a number, a text, a boolean or a list of these (got a date)",
            "plain",
        ),
        (b"\xff\xfe", "must be text in UTF-8", "UTF-8"),
    ],
)
def test_invalid_file_names_file_and_key(
    content: bytes, said: str, hint: str, tmp_path: Path
) -> None:
    """An error in a file names the file and the key, and the hint says what to write."""
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A path without a file is the caller's error."""
    with pytest.raises(UsageError, match="No such file"):
        read_file(tmp_path / "x.toml")
