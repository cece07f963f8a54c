"""Which runs can be pooled, and what is said of those that cannot."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.errors import UsageError
from migrationlab.runs import environment as identity
from migrationlab.runs.run import Run, Runs
from migrationlab.runs.store import load_run
from paths import RECORDINGS

MakeRun = Callable[..., Run]
HASH, OTHER_HASH = "0f" * 32, "1e" * 32


def changed(run: Run, mapping: str, /, **facts: Any) -> Run:
    """Give a copy of a run in which one of its mappings says something else."""
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
def test_what_figures_hang_on_is_told_when_it_differs(
    make_run: MakeRun, name: str, facts: dict[str, str]
) -> None:
    """Machine, hosts, versions, code, machine type are checked: each is named with both values."""
    one, other = make_run(number=1), changed(make_run(number=2), name, **facts)
    assert one.environment_id != other.environment_id
    with pytest.raises(UsageError, match="environments differ") as caught:
        identity.require_same([one, other])
    ((key, value),) = facts.items()
    assert f".{key}: " in str(caught.value)
    for told in (value, one.run_id, other.run_id):
        assert told in str(caught.value)
    assert "allow=" in caught.value.hint
    for allowed in (f"{_place(one, name)}.{key}", key, _place(one, name)):
        identity.require_same([one, other], allow=[allowed])
    with pytest.raises(UsageError):
        identity.require_same([one, other], allow=["accelerator", "elsewhere"])


def _place(run: Run, name: str) -> str:
    """Give the part before the dot of a fact of one of a run's mappings."""
    hosts = {"source": run.source["name"], "destination": run.destination["name"]}
    return str(hosts.get(name, {"environment": "machine"}.get(name, name)))


def test_accelerator_and_kit_are_checked(make_run: MakeRun) -> None:
    """Two runs by KVM and TCG, or by two versions of the kit, are not pooled."""
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
def test_what_is_varied_or_varies_is_no_environment(
    make_run: MakeRun, name: str, facts: dict[str, object]
) -> None:
    """Load, time, names, workload and wire differ between runs that belong together."""
    one, other = make_run(), changed(make_run(number=2, mode="peer2peer"), name, **facts)
    assert one.environment_id == other.environment_id
    identity.require_same([one, other])


def test_there_and_back_is_one_environment(make_run: MakeRun) -> None:
    """A guest that goes home moves between the same hosts, also where these are not alike."""
    there = changed(make_run(), "destination", qemu_version="9.2.0")
    back = dataclasses.replace(
        make_run(number=2), source=there.destination, destination=there.source
    )
    identity.require_same([there, back])
    assert there.environment_id == back.environment_id


def test_a_third_host_is_another_environment(make_run: MakeRun) -> None:
    """Runs between other hosts are told apart by their names, though all else is the same."""
    third = changed(make_run(number=2), "destination", name="host-c", hostname="host-c")
    with pytest.raises(UsageError, match=r"host-b\.hostname.*host-c\.hostname"):
        identity.require_same([make_run(), third])


def test_not_known_is_not_the_same_as_known(make_run: MakeRun) -> None:
    """A run that does not say its kernel is not taken for one that says it."""
    silent = make_run()
    environment = {key: value for key, value in silent.environment.items() if key != "kernel"}
    silent = dataclasses.replace(silent, environment=environment)
    with pytest.raises(UsageError, match=r"machine\.kernel: not known \("):
        identity.require_same([silent, make_run(number=2)])


def test_domains_are_compared_where_guests_have_the_same_settings(make_run: MakeRun) -> None:
    """Another domain with the same settings is told; one of another size is meant to be another."""
    one = changed(make_run(), "guest", xml_sha256=HASH)
    like = changed(make_run(number=2), "guest", xml_sha256=OTHER_HASH)
    with pytest.raises(UsageError, match=r"guest\.xml_sha256: 0f0f.*1e1e") as caught:
        identity.require_same([one, like])
    assert HASH not in str(caught.value)
    assert one.environment_id == like.environment_id
    identity.require_same([one, like], allow=["guest.xml_sha256"])
    identity.require_same([one, changed(like, "guest", memory_mib=512)])


def test_a_domain_is_written_otherwise_by_another_libvirt(make_run: MakeRun) -> None:
    """Between two releases, each host writes the same domain in its own way: no difference."""
    there = changed(make_run(), "destination", libvirt_version="9.0.0")
    there = changed(there, "guest", xml_sha256=HASH)
    back = dataclasses.replace(
        changed(make_run(number=2), "guest", xml_sha256=OTHER_HASH),
        source=there.destination,
        destination=there.source,
    )
    identity.require_same([there, back])


def test_a_fact_that_no_kit_writes_is_compared_too(make_run: MakeRun) -> None:
    """A file from elsewhere can hold a list or an object where a word should be."""
    one = changed(make_run(), "environment", kernel={"a": ["b", {}]})
    one = changed(one, "guest", xml_sha256=[1], disk={"a": 1})
    identity.require_same([one, one])
    other = changed(one, "environment", kernel={"a": ["c", {}]})
    assert one.environment_id != other.environment_id
    with pytest.raises(UsageError, match=r"machine\.kernel"):
        identity.require_same([one, other])


def test_many_runs_are_told_by_their_number(make_run: MakeRun) -> None:
    """The error stays readable, however many runs there are on each side."""
    runs = [make_run(number=number) for number in range(1, 10)]
    runs.append(changed(make_run(number=10), "environment", kernel="6.19.0"))
    with pytest.raises(UsageError, match="and 6 more") as caught:
        identity.require_same(runs)
    assert len(str(caught.value)) < 400


def test_none_and_one_are_the_same(make_run: MakeRun) -> None:
    """Of fewer than two runs nothing differs."""
    identity.require_same([])
    identity.require_same(Runs([make_run()]))
    assert identity.differences([make_run()]) == {}


def test_the_frame_of_environments(make_run: MakeRun) -> None:
    """A row an environment, the most frequent first, with its facts as they are."""
    other = changed(make_run(number=3), "environment", kernel="6.19.0")
    table = Runs([make_run(number=1), make_run(number=2), other]).environments()
    assert table["runs"].tolist() == [2, 1]
    assert table["environment_id"].tolist() == [make_run().environment_id, other.environment_id]
    assert table["machine.kernel"].tolist() == ["6.18.0", "6.19.0"]
    assert table["host-a.qemu_version"].tolist() == ["10.0.13", "10.0.13"]
    assert list(Runs().environments().columns) == ["environment_id", "runs"]


def test_the_id_is_the_same_years_later() -> None:
    """It hangs on no machine, hash seed or order of keys, so that it can be printed in a paper."""
    run = load_run(RECORDINGS / "20261122-192728-594178")
    backwards = dict(reversed(run.environment.items()))
    assert run.environment_id == "ef73235af"
    assert dataclasses.replace(run, environment=backwards).environment_id == run.environment_id


@given(
    facts=st.dictionaries(
        st.sampled_from(identity.MACHINE), st.none() | st.text() | st.integers() | st.booleans()
    )
)
def test_the_same_id_is_the_same_facts(facts: dict[str, Any]) -> None:
    """Whatever a machine says of itself: ids are equal just where nothing that is known differs."""
    host = {"name": "node1"}
    others = {"migrationlab_version": "1", "accelerator": "kvm", "guest": {}}
    one, other = (
        SimpleNamespace(run_id=name, source=host, destination=host, environment=known, **others)
        for name, known in (("1", {}), ("2", facts))
    )
    same = all(value is None for value in facts.values())
    assert (identity.environment_id(one) == identity.environment_id(other)) is same
    assert (identity.differences([one, other]) == {}) is same
