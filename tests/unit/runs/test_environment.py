"""Which runs may be pooled, and what the error about different environments states."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.errors import UsageError
from migrationlab.plan.plan import Plan
from migrationlab.runs import environment as identity
from migrationlab.runs.run import Run, Runs
from migrationlab.runs.store import load_run
from paths import RECORDINGS

MakeRun = Callable[..., Run]
HASH, OTHER_HASH = "0f" * 32, "1e" * 32


def changed(run: Run, mapping: str, /, **facts: Any) -> Run:
    """Return a copy of a run with other facts in one of its mappings."""
    return dataclasses.replace(run, **{mapping: {**getattr(run, mapping), **facts}})


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("environment", {"kernel": "6.19.0"}),
        ("environment", {"cpu_model": "Example CPU @ 3.0GHz"}),
        ("environment", {"code": "c0ffee-dirty"}),
        ("environment", {"libvirt_client": "9.0.0"}),
        ("source", {"qemu_version": "10.0.14"}),
        ("destination", {"libvirt_version": "11.4.0"}),
        ("destination", {"kernel": "6.1.0"}),
        ("guest", {"machine": "pc-q35-9.2"}),
    ],
)
def test_error_names_each_fact_that_differs(
    make_run: MakeRun, name: str, facts: dict[str, str]
) -> None:
    """Machine, hosts, versions, code and machine type are checked. The error has both values."""
    one, other = make_run(number=1), changed(make_run(number=2), name, **facts)
    assert one.environment_id != other.environment_id
    with pytest.raises(UsageError, match="environments differ") as caught:
        identity.require_same([one, other])
    ((key, value),) = facts.items()
    assert f".{key}: " in str(caught.value)
    for named in (value, one.run_id, other.run_id):
        assert named in str(caught.value)
    assert "allow=" in caught.value.hint
    for allowed in (f"{_place(one, name)}.{key}", key, _place(one, name)):
        identity.require_same([one, other], allow=[allowed])
    with pytest.raises(UsageError):
        identity.require_same([one, other], allow=["accelerator", "elsewhere"])


def _place(run: Run, name: str) -> str:
    """Return the part before the dot of a fact's name."""
    hosts = {"source": run.source["name"], "destination": run.destination["name"]}
    return str(hosts.get(name, {"environment": "machine"}.get(name, name)))


def test_accelerator_and_version_are_checked(make_run: MakeRun) -> None:
    """Runs of KVM and TCG are not pooled, nor runs of two versions of migrationlab."""
    for change in ({"accelerator": "kvm"}, {"migrationlab_version": "0.2.0"}):
        runs = [make_run(), dataclasses.replace(make_run(number=2), **change)]
        with pytest.raises(UsageError, match=next(iter(change))):
            identity.require_same(runs)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("environment", {"load_1min": 7.0}),
        ("environment", {"cpu_busy_percent": 99.0}),
        ("guest", {"name": "guest-2", "uuid": "0", "number": 2}),
        ("guest", {"dirty_mib_s": 80}),
        ("wire", {"rate_mbit_s": 100, "measured_mbit_s": 95.1}),
    ],
)
def test_settings_and_changing_facts_are_no_environment(
    make_run: MakeRun, name: str, facts: dict[str, object]
) -> None:
    """Load, names, workload and wire differ between runs of one environment."""
    one, other = make_run(), changed(make_run(number=2, mode="peer2peer"), name, **facts)
    assert one.environment_id == other.environment_id
    identity.require_same([one, other])


def test_both_directions_are_one_environment(make_run: MakeRun) -> None:
    """A guest that goes back moves between the same hosts, even if these differ."""
    there = changed(make_run(), "destination", qemu_version="9.2.0")
    back = dataclasses.replace(
        make_run(number=2), source=there.destination, destination=there.source
    )
    identity.require_same([there, back])
    assert there.environment_id == back.environment_id


def test_a_third_host_is_another_environment(make_run: MakeRun) -> None:
    """Runs between hosts of other names differ, even if all other facts are the same."""
    third = changed(make_run(number=2), "destination", name="host-c", hostname="host-c")
    with pytest.raises(UsageError, match=r"host-b\.hostname.*host-c\.hostname"):
        identity.require_same([make_run(), third])


def test_unknown_fact_differs_from_known_one(make_run: MakeRun) -> None:
    """A run with an unknown kernel is not pooled with a run whose kernel is known."""
    silent = make_run()
    environment = {key: value for key, value in silent.environment.items() if key != "kernel"}
    silent = dataclasses.replace(silent, environment=environment)
    with pytest.raises(UsageError, match=r"machine\.kernel: not known \("):
        identity.require_same([silent, make_run(number=2)])


def test_domains_are_compared_where_guests_have_the_same_settings(make_run: MakeRun) -> None:
    """Two domains of the same settings are an error. Domains of two sizes differ on purpose."""
    one = changed(make_run(), "guest", xml_sha256=HASH)
    like = changed(make_run(number=2), "guest", xml_sha256=OTHER_HASH)
    with pytest.raises(UsageError, match=r"guest\.xml_sha256: 0f0f.*1e1e") as caught:
        identity.require_same([one, like])
    assert HASH not in str(caught.value)
    assert one.environment_id == like.environment_id
    identity.require_same([one, like], allow=["guest.xml_sha256"])
    identity.require_same([one, changed(like, "guest", memory_mib=512)])


def test_domains_written_by_two_libvirt_versions_are_the_same(make_run: MakeRun) -> None:
    """Two versions of libvirt write the same domain differently. That is no difference."""
    there = changed(make_run(), "destination", libvirt_version="9.0.0")
    there = changed(there, "guest", xml_sha256=HASH)
    back = dataclasses.replace(
        changed(make_run(number=2), "guest", xml_sha256=OTHER_HASH),
        source=there.destination,
        destination=there.source,
    )
    identity.require_same([there, back])


def test_fact_of_another_type_is_compared(make_run: MakeRun) -> None:
    """A file of another program can hold a list or an object instead of a text."""
    one = changed(make_run(), "environment", kernel={"a": ["b", {}]})
    one = changed(one, "guest", xml_sha256=[1], disk={"a": 1})
    identity.require_same([one, one])
    other = changed(one, "environment", kernel={"a": ["c", {}]})
    assert one.environment_id != other.environment_id
    with pytest.raises(UsageError, match=r"machine\.kernel"):
        identity.require_same([one, other])


def test_error_about_many_runs_is_short(make_run: MakeRun) -> None:
    """The error names three runs of each value and counts the others."""
    runs = [make_run(number=number) for number in range(1, 10)]
    runs.append(changed(make_run(number=10), "environment", kernel="6.19.0"))
    with pytest.raises(UsageError, match="and 6 more") as caught:
        identity.require_same(runs)
    assert len(str(caught.value)) < 400


def test_no_run_and_one_run_have_no_differences(make_run: MakeRun) -> None:
    """Fewer than two runs have no differences."""
    identity.require_same([])
    identity.require_same(Runs([make_run()]))
    assert identity.differences([make_run()]) == {}


def test_frame_of_environments(make_run: MakeRun) -> None:
    """The frame has a row per environment, the most frequent first, with its facts."""
    other = changed(make_run(number=3), "environment", kernel="6.19.0")
    table = Runs([make_run(number=1), make_run(number=2), other]).environments()
    assert table["runs"].tolist() == [2, 1]
    assert table["environment_id"].tolist() == [make_run().environment_id, other.environment_id]
    assert table["machine.kernel"].tolist() == ["6.18.0", "6.19.0"]
    assert table["host-a.qemu_version"].tolist() == ["10.0.13", "10.0.13"]
    assert list(Runs().environments().columns) == ["environment_id", "runs"]


def test_environment_id_never_changes() -> None:
    """The id depends on no machine, hash seed or order of keys, so that papers can print it."""
    run = load_run(RECORDINGS / "20261122-192728-594178")
    backwards = dict(reversed(run.environment.items()))
    assert run.environment_id == "ef73235af"
    assert dataclasses.replace(run, environment=backwards).environment_id == run.environment_id


@given(
    facts=st.dictionaries(
        st.sampled_from(identity.MACHINE), st.none() | st.text() | st.integers() | st.booleans()
    )
)
def test_ids_are_equal_if_known_facts_are(facts: dict[str, Any]) -> None:
    """For any facts of a machine: ids are equal if and only if all known facts are."""
    host = {"name": "node1"}
    others = {"migrationlab_version": "1", "accelerator": "kvm", "guest": {}}
    others |= {"wire": None, "plan": Plan()}
    one, other = (
        SimpleNamespace(run_id=name, source=host, destination=host, environment=known, **others)
        for name, known in (("1", {}), ("2", facts))
    )
    same = all(value is None for value in facts.values())
    assert (identity.environment_id(one) == identity.environment_id(other)) is same
    assert (identity.differences([one, other]) == {}) is same
