"""Plans can be compared, stored and validated, and have a virsh command."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.errors import PlanError, UsageError
from migrationlab.plan.plan import Connection, Endpoint, Mode, Plan, validate_domain_name
from migrationlab.plan.settings import Shape, settings
from migrationlab.plan.virsh import virsh_line

GOOD = Plan(migration_uri="tcp://node2", connection_uri="qemu+ssh://root@node2/system")
URIS = st.one_of(
    st.none(),
    st.text(),
    st.sampled_from(["tcp://node2", "qemu+ssh://root@node2/system", "node2", "qemu:///system"]),
)
NAMES = st.lists(st.one_of(st.text(), st.sampled_from(["xbzrle", "zstd", "vda"])), max_size=3)
VALUES: dict[Shape, st.SearchStrategy[Any]] = {
    Shape.MODE: st.sampled_from(Mode),
    Shape.SWITCH: st.booleans(),
    Shape.WHOLE: st.one_of(st.none(), st.integers()),
    Shape.SECONDS: st.one_of(st.none(), st.floats(allow_nan=False)),
    Shape.DEADLINE: st.floats(),
    Shape.TEXT: st.one_of(URIS, st.sampled_from(["full", "<domain/>", "auto"])),
    Shape.NAMES: NAMES,
    Shape.OPTIONAL_NAMES: st.one_of(st.none(), NAMES),
    Shape.OPTIONS: st.one_of(
        st.none(),
        st.dictionaries(
            st.one_of(st.text(), st.sampled_from(["downtime_ms", "rules"])),
            st.one_of(st.booleans(), st.integers(-(2**62), 2**62), st.text()),
            max_size=2,
        ),
    ),
}
# A few settings at a time.
PLANS = (
    st.lists(st.sampled_from(list(settings())), max_size=6, unique_by=lambda about: about.name)
    .flatmap(
        lambda some: st.fixed_dictionaries({about.name: VALUES[about.shape] for about in some})
    )
    .map(Plan.from_dict)
)


def test_default_plan_is_valid() -> None:
    """A plan without settings can work: what is left out is no problem."""
    assert Plan().problems() == ()
    Plan().require_valid()


def test_plan_is_a_value() -> None:
    """Equal plans are the same key; a plan cannot be changed, only replaced."""
    assert Plan(mode="peer2peer") == Plan(mode=Mode.PEER2PEER)  # type: ignore[arg-type]
    assert len({Plan(), Plan(), Plan(bandwidth_mib_s=5)}) == 2
    with pytest.raises(FrozenInstanceError):
        Plan().mode = Mode.PEER2PEER  # type: ignore[misc]
    values: Any = np.arange(10, 40, 10)
    sweep = [replace(GOOD, bandwidth_mib_s=value) for value in values]
    assert [plan.bandwidth_mib_s for plan in sweep] == [10, 20, 30]
    assert all(type(plan.bandwidth_mib_s) is int for plan in sweep)
    assert copy.deepcopy(GOOD) == GOOD


@pytest.mark.parametrize(
    ("plan", "shown"),
    [
        (Plan(), "Plan()"),
        (Plan(mode=Mode.PEER2PEER), "Plan(mode='peer2peer')"),
        (
            Plan(migration_uri="tcp://node2", deadline_s=5),
            "Plan(migration_uri='tcp://node2', deadline_s=5.0)",
        ),
    ],
)
def test_repr_shows_what_was_set(plan: Plan, shown: str) -> None:
    """The repr is one line, holds what differs from the defaults, and makes the plan again."""
    assert repr(plan) == shown
    assert eval(shown, {"Plan": Plan}) == plan


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"migration_uri": 5}, r"migration_uri must be a text or None \(got 5\)"),
        (
            {"connection_uri": b"qemu:///system"},
            r"connection_uri must be a text or None \(got b'qemu",
        ),
        ({"bandwidth_mib_s": "50"}, r"bandwidth_mib_s must be a whole number or None \(got '50'\)"),
        ({"bandwidth_mib_s": 1.5}, r"bandwidth_mib_s must be a whole number or None \(got 1.5\)"),
        ({"max_downtime_ms": True}, r"max_downtime_ms must be a whole number or None \(got True\)"),
        ({"deadline_s": None}, r"deadline_s must be a number of seconds \(got None\)"),
        ({"deadline_s": "120"}, r"deadline_s must be a number of seconds \(got '120'\)"),
        ({"allow_unsafe_tcg": 1}, r"allow_unsafe_tcg must be True or False \(got 1\)"),
        ({"postcopy": "yes"}, r"postcopy must be True or False \(got 'yes'\)"),
        ({"compression": "zstd"}, r"compression must be a tuple of names or None \(got 'zstd'\)"),
        ({"compression": (b"zstd",)}, r"compression must be a tuple of names or None"),
        ({"copy_disks": None}, r"copy_disks must be a tuple of names \(got None\)"),
        ({"copy_storage": True}, r"copy_storage must be a text or None \(got True\)"),
        (
            {"postcopy_after_s": "3"},
            r"postcopy_after_s must be a number of seconds or None \(got '3'\)",
        ),
        ({"mode": "managed"}, r"mode must be normal or peer2peer \(got 'managed'\)"),
        ({"mode": None}, r"mode must be normal or peer2peer \(got 'None'\)"),
    ],
)
def test_wrong_types_are_refused(wrong: dict[str, Any], message: str) -> None:
    """A value of a wrong type is refused with what it must be."""
    with pytest.raises(PlanError, match=message) as caught:
        Plan(**wrong)
    assert caught.value.hint


def test_unknown_names_get_the_known_ones() -> None:
    """The error for misspelt settings names all of them, and its hint the closest ones."""
    wrong: dict[str, Any] = {"bandwith_mib_s": 5, "post_copy": True}
    with pytest.raises(PlanError, match="no setting 'bandwith_mib_s', 'post_copy'") as caught:
        Plan(**wrong)
    assert caught.value.hint == "Use bandwidth_mib_s, postcopy."


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bandwidth_mib_s", -5),
        ("bandwidth_mib_s", 0),
        ("bandwidth_mib_s", 10**9),
        ("bandwidth_mib_s", 10**400),
        ("max_downtime_ms", 0),
        ("max_downtime_ms", -1),
        ("max_downtime_ms", 2_000_001),
        ("deadline_s", 0),
        ("deadline_s", -1.0),
        ("deadline_s", float("nan")),
        ("deadline_s", float("inf")),
        ("deadline_s", 10**400),
    ],
)
def test_absurd_numbers_are_problems(field: str, value: float) -> None:
    """A number out of range is a problem of its field, with the range."""
    (problem,) = Plan.from_dict({field: value}).problems()
    assert problem.field == field
    assert problem.hint.startswith("Give ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bandwidth_mib_s", 1),
        ("bandwidth_mib_s", 1_048_576),
        ("max_downtime_ms", 1),
        ("max_downtime_ms", 2_000_000),
        ("deadline_s", 0.1),
        ("deadline_s", 7 * 86_400),
    ],
)
def test_limits_are_inclusive(field: str, value: float) -> None:
    """The smallest and the largest number of a range are valid."""
    assert Plan.from_dict({field: value}).problems() == ()


def test_all_problems_are_listed() -> None:
    """Every problem is reported at once, and the error names all of them."""
    plan = Plan(
        migration_uri="qemu+ssh://root@node2/system",
        connection_uri="node2",
        bandwidth_mib_s=-5,
        max_downtime_ms=-5,
        deadline_s=-5,
    )
    fields = [problem.field for problem in plan.problems()]
    assert fields == [
        "migration_uri", "connection_uri", "bandwidth_mib_s", "max_downtime_ms", "deadline_s",
    ]  # fmt: skip
    with pytest.raises(UsageError) as caught:
        plan.require_valid()
    assert all(field in str(caught.value) for field in fields)
    assert "Use tcp://node2" in caught.value.hint


@pytest.mark.parametrize("mode", Mode)
def test_swapped_uris_are_recognised(mode: Mode) -> None:
    """Two valid URIs in the place of each other are swapped by the suggestions."""
    plan = Plan(
        mode=mode, migration_uri="qemu+ssh://root@node2/system", connection_uri="tcp://10.0.0.2"
    )
    migration, connection = plan.problems()
    assert migration.hint.startswith("Swap the two URIs")
    assert migration.suggestion == "tcp://10.0.0.2"
    assert connection.suggestion == "qemu+ssh://root@node2/system"


def test_same_host_as_source_and_destination_is_refused() -> None:
    """A plan from a host to itself is a problem, by the names or by a URI."""
    (problem,) = GOOD.problems(source="node2", destination="NODE2.")[:1]
    assert problem.field == "destination"
    migration, connection = GOOD.problems(source="node2", destination="node3")
    assert migration.suggestion == "tcp://node3"
    assert connection.suggestion == "qemu+ssh://root@node3/system"
    assert GOOD.problems(source="node1", destination="node2") == ()
    with pytest.raises(PlanError, match="same host"):
        GOOD.require_valid(source="node2", destination="node2")


def test_filled_adds_missing_uris() -> None:
    """Missing URIs are filled in with valid ones; what was given stays."""
    filled = Plan(bandwidth_mib_s=5).filled(destination="fd00::2")
    assert filled == Plan(
        migration_uri="tcp://[fd00::2]",
        connection_uri="qemu+ssh://root@[fd00::2]/system",
        bandwidth_mib_s=5,
    )
    assert filled.problems(source="host-a", destination="fd00::2") == ()
    assert GOOD.filled(destination="node3") == GOOD
    # An empty URI is a mistake, not a missing one.
    assert Plan(migration_uri="").filled(destination="node2").migration_uri == ""
    with pytest.raises(PlanError, match="destination must be a host name"):
        Plan().filled(destination="no de")


def test_flags_and_parameters() -> None:
    """Flags and typed parameters have libvirt's names, without the connection URI."""
    assert Plan().flags() == ("LIVE",)
    assert Plan(mode=Mode.PEER2PEER).flags() == ("LIVE", "PEER2PEER")
    assert Plan().parameters() == {}
    plan = replace(GOOD, bandwidth_mib_s=50, max_downtime_ms=100)
    assert plan.parameters() == {"migrate_uri": "tcp://node2", "bandwidth": 50}
    assert Plan(migration_uri="auto").parameters() == {}
    assert Plan(compression=()).flags() == ("LIVE", "COMPRESSED")
    assert Plan(compression=()).parameters() == {}
    plan = Plan(copy_storage="full", copy_disks=["vda"])  # type: ignore[arg-type]
    assert plan.flags() == ("LIVE", "NON_SHARED_DISK")
    assert plan.parameters() == {"migrate_disks": ("vda",)}


def test_offline_plan_is_not_live() -> None:
    """An offline migration has no flag for a running guest: virsh refuses the two together."""
    plan = Plan(offline=True, persistent=True)
    assert plan.flags() == ("PERSIST_DEST", "OFFLINE")
    assert plan.flag_bits() == 1 << 3 | 1 << 10


@pytest.mark.parametrize("values", [{"tunnelled": True}, {"offline": True}])
def test_tunnelled_and_offline_get_no_migration_uri(values: dict[str, Any]) -> None:
    """A tunnelled or an offline plan gets no migration URI, which libvirt would refuse."""
    assert Plan(**values).filled(destination="node2").migration_uri is None
    assert Plan(migration_uri="auto").filled(destination="node2").migration_uri == "auto"


def test_connections() -> None:
    """The modes differ only in who connects to the destination's libvirtd."""
    connection, migration = "qemu+ssh://root@node2/system", "tcp://node2"
    first = Connection(
        Endpoint.CLIENT, Endpoint.SOURCE_LIBVIRTD, "control", "qemu+ssh://node1/system"
    )
    memory = Connection(
        Endpoint.SOURCE_LIBVIRTD, Endpoint.DESTINATION_QEMU, "guest memory", migration
    )
    for mode, controller in (
        (Mode.NORMAL, Endpoint.CLIENT),
        (Mode.PEER2PEER, Endpoint.SOURCE_LIBVIRTD),
    ):
        assert replace(GOOD, mode=mode).connections(source_uri="qemu+ssh://node1/system") == (
            first,
            Connection(controller, Endpoint.DESTINATION_LIBVIRTD, "control", connection),
            memory,
        )
    assert memory.to_dict() == {
        "who": "source libvirtd",
        "to": "destination QEMU",
        "about": "guest memory",
        "uri": "tcp://node2",
    }


@pytest.mark.parametrize(
    "values",
    [{"parallel": True}, {"postcopy": True}, {"migration_uri": "rdma://node2"}],
)
@pytest.mark.parametrize("mode", list(Mode))
def test_qemu_itself_opens_several_connections_and_rdma(mode: Mode, values: dict[str, Any]) -> None:
    """In both modes QEMU connects where libvirtd cannot hand it one TCP connection."""
    memory = Plan(mode=mode, **values).filled(destination="node2").connections()[-1]
    assert memory.opened_by is Endpoint.SOURCE_QEMU


def test_virsh() -> None:
    """The virsh command has mode, URIs and bandwidth, under virsh's option names."""
    assert shlex.join(GOOD.virsh("web1")) == (
        "virsh --connect qemu:///system migrate --live --domain web1 "
        "--desturi qemu+ssh://root@node2/system --migrateuri tcp://node2"
    )
    plan = replace(GOOD, mode=Mode.PEER2PEER, migration_uri=None, bandwidth_mib_s=50)
    assert plan.virsh("-a guest", source_uri="qemu+tcp://node1/system") == [
        "virsh", "--connect", "qemu+tcp://node1/system", "migrate", "--live", "--p2p",
        "--domain", "-a guest", "--desturi", "qemu+ssh://root@node2/system", "--bandwidth", "50",
    ]  # fmt: skip


def test_connections_when_tunnelled_or_offline() -> None:
    """A tunnel leads from libvirtd to libvirtd; an offline migration opens control only."""
    tunnel = Plan(mode=Mode.PEER2PEER, tunnelled=True, connection_uri="qemu+tls://node2/system")
    assert tunnel.connections()[2] == Connection(
        Endpoint.SOURCE_LIBVIRTD,
        Endpoint.DESTINATION_LIBVIRTD,
        "guest memory",
        "qemu+tls://node2/system",
    )
    assert [talk.carries for talk in Plan(offline=True).connections()] == ["control", "control"]
    assert Plan(migration_uri="auto", copy_storage="full").connections()[2].uri is None
    assert Plan(copy_storage="full").connections()[2].carries == "guest memory and disks"


# Every option of virsh migrate (tools/virsh-domain.c of libvirt 11.3: opts_migrate; 12.2 has also
# migrate-disks-target-zero), except those that say nothing about the migration (verbose), are not
# for QEMU (direct: Xen), are gone from QEMU (comp-mt-*), or are always implied by a plan.
VIRSH = """
--abort-on-error --auto-converge --auto-converge-increment --auto-converge-initial
--available-switchover-bandwidth --bandwidth --change-protection --comp-methods
--comp-xbzrle-cache --comp-zlib-level --comp-zstd-level --compressed --copy-storage-all
--copy-storage-inc --copy-storage-synchronous-writes --desturi --disks-port --disks-uri --dname
--graphicsuri --listen-address --live --migrate-disks --migrate-disks-detect-zeroes
--migrate-disks-target-zero --migrateuri --offline --p2p
--parallel --parallel-connections --persistent --persistent-xml --postcopy
--postcopy-after-precopy --postcopy-bandwidth --postcopy-resume --rdma-pin-all --suspend
--timeout-postcopy --timeout-suspend --tls --tls-destination --tunnelled --undefinesource --unsafe
--xml --zerocopy
"""


def test_settings_cover_virshs_options() -> None:
    """The table has every option of virsh migrate that is about a plan."""
    assert sorted(option for about in settings() for option in about.virsh_options) == VIRSH.split()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"parallel": True, "parallel_connections": 4, "compression": ("zstd",),
             "zstd_level": 3},
            ("--live --compressed --parallel --domain web1 --desturi URI --migrateuri tcp://node2 "
            "--comp-methods zstd --comp-zstd-level 3 --parallel-connections 4"),
        ),
        (
            {"compression": ()},
            "--live --compressed --domain web1 --desturi URI --migrateuri tcp://node2",
        ),
        (
            {"copy_storage": "incremental", "copy_disks": ("vda", "vdb"), "disks_port": 49300,
             "synchronous_writes": True, "persistent": True, "undefine_source": True},
            ("--live --persistent --undefinesource --copy-storage-inc "
            "--copy-storage-synchronous-writes --domain web1 --desturi URI "
            "--migrateuri tcp://node2 --migrate-disks vda,vdb --disks-port 49300"),
        ),
        (
            {"postcopy": True, "postcopy_after_iteration": 1, "postcopy_after_s": 20},
            ("--live --postcopy --domain web1 --desturi URI --migrateuri tcp://node2 "
            "--postcopy-after-precopy --timeout 20 --timeout-postcopy"),
        ),
        (
            {"suspend_after_s": 10, "live": True},
            ("--live --domain web1 --desturi URI --migrateuri tcp://node2 "
            "--timeout 10 --timeout-suspend"),
        ),
        (
            {"offline": True, "persistent": True, "migration_uri": None},
            "--persistent --offline --domain web1 --desturi URI",
        ),
        (
            {"mode": "peer2peer", "tunnelled": True, "migration_uri": None, "paused": True,
             "destination_xml": "<domain/>", "destination_name": "web2"},
            ("--live --p2p --tunnelled --suspend --domain web1 --desturi URI --dname web2 "
            "--xml destination.xml"),
        ),
        (
            {"migration_uri": "auto"},
            "--live --domain web1 --desturi URI",
        ),
    ],
)  # fmt: skip
def test_virsh_command_has_every_setting(values: dict[str, Any], said: str) -> None:
    """Each setting that virsh has becomes its option, with the value as virsh takes it."""
    plan = Plan.from_dict(GOOD.to_dict() | values)
    line = shlex.join(plan.virsh("web1")).replace(GOOD.connection_uri or "", "URI")
    assert line == f"virsh --connect qemu:///system migrate {said}"


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ({"destination_xml": "<domain/>"}, "write destination_xml into destination.xml first"),
        (
            {"max_downtime_ms": 500, "downtime_steps": 5, "downtime_step_s": 2},
            "cannot raise the maximum downtime in steps",
        ),
        ({"postcopy": True, "postcopy_after_iteration": 2}, "migrate-postcopy web1"),
        ({"postcopy": True, "postcopy_after_s": 2.5}, "migrate-postcopy web1"),
        ({"suspend_after_iteration": 2}, "suspend web1"),
        ({"abort_when_diverging_s": 5}, "and cancel it with virsh"),
        ({"postcopy_bandwidth_mib_s": 5}, "has no effect without postcopy"),
        ({"postcopy": True}, "only makes the switch possible"),
        ({"undefine_source": True}, "no host has its definition"),
        (
            {"persistent": True, "destination_xml": "<domain/>"},
            "lacks the changes of destination_xml",
        ),
        ({"migration_uri": "unix:///run/m.sock"}, "a program that forwards it"),
        ({"migration_uri": "rdma://node2"}, "RDMA network cards"),
    ],
)
def test_notes_say_what_to_know(values: dict[str, Any], note: str) -> None:
    """The notes have what virsh cannot do, and what to know about a valid plan."""
    notes = Plan.from_dict(GOOD.to_dict() | values).notes("web1")
    assert [text for text in notes if note in text]
    assert not [text for text in GOOD.notes("web1") if note in text]


def test_no_virsh_command_for_an_invalid_plan() -> None:
    """A plan that cannot work, or lacks destination or guest, has no virsh command."""
    with pytest.raises(PlanError, match="migration_uri must begin with a scheme"):
        replace(GOOD, migration_uri="node2").virsh("web1")
    with pytest.raises(PlanError, match="connection_uri must be given"):
        Plan().virsh("web1")
    for name in ("", " ", "a/b", "a\nb", "\udcff"):
        assert validate_domain_name(name)
        with pytest.raises(PlanError, match="guest's name"):
            GOOD.virsh(name)


def test_notes_have_what_virsh_cannot_do() -> None:
    """Maximum downtime and deadline, which virsh migrate cannot set, are noted."""
    (deadline,) = GOOD.notes("web1")
    assert "after 120 s: virsh --connect" in deadline
    notes = replace(GOOD, max_downtime_ms=100, connection_uri="qemu://node2/system").notes("web 1")
    assert "libvirt uses TLS" in notes[0]
    assert notes[1].endswith("virsh --connect qemu:///system migrate-setmaxdowntime 'web 1' 100")


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"bandwith_mib_s": 5}, "no setting 'bandwith_mib_s'", "Use bandwidth_mib_s."),
        ({"zzz": "red"}, "no setting 'zzz'", "List the settings with"),
        ({"mode": 7}, r"mode must be .*\(got '7'\)", "Write mode='normal'."),
        ({"bandwidth_mib_s": "5"}, r"\(got '5'\)", "Write a whole number without quotes"),
        ([1], r"must be a mapping of settings \(got \[1\]\)", "Write the settings by name"),
    ],
)
def test_from_dict_refuses(values: Any, message: str, hint: str) -> None:
    """A dictionary of no plan is refused with what it must be."""
    with pytest.raises(PlanError, match=message) as caught:
        Plan.from_dict(values)
    assert caught.value.hint.startswith(hint)


def test_plans_of_the_first_release_still_load() -> None:
    """A plan that was recorded when there were seven settings is the same plan today."""
    recorded = {
        "mode": "peer2peer",
        "migration_uri": "tcp://host-b",
        "connection_uri": "qemu+tcp://host-b/system",
        "bandwidth_mib_s": 50,
        "max_downtime_ms": None,
        "deadline_s": 30.0,
        "allow_unsafe_tcg": False,
    }
    plan = Plan.from_dict(recorded)
    assert {name: plan.to_dict()[name] for name in recorded} == recorded
    assert plan.problems() == ()
    assert set(plan.changed()) == {
        "mode", "migration_uri", "connection_uri", "bandwidth_mib_s", "deadline_s",
    }  # fmt: skip


@given(plan=PLANS.filter(lambda plan: plan.deadline_s == plan.deadline_s))
def test_round_trip(plan: Plan) -> None:
    """A plan goes through a dictionary, and through JSON, unchanged."""
    assert Plan.from_dict(plan.to_dict()) == plan
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


@given(plan=PLANS, domain=st.text(), host=st.one_of(st.none(), st.text()))
def test_validation_never_raises(plan: Plan, domain: str, host: str | None) -> None:
    """Any plan gets an answer; a valid one can be filled in and has a virsh command and notes."""
    plan.problems(source=host, destination=host)
    validate_domain_name(domain)
    assert "\n" not in repr(plan)
    if not plan.problems():
        filled = plan.filled(destination="node2")
        assert filled.problems() == ()
        assert filled.virsh("web1")[0] == "virsh"
        assert filled.notes("web1")


def test_plan_needs_no_libvirt() -> None:
    """Plans work on a machine without libvirt: importing them does not import it."""
    code = "import sys, migrationlab.plan; sys.exit('libvirt' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_name_of_a_domain_is_never_an_option() -> None:
    """In a virsh command a domain's name that begins with a hyphen follows the end of options."""
    assert virsh_line("qemu:///system", "suspend", "--x y") == (
        "virsh --connect qemu:///system suspend -- '--x y'"
    )
    assert virsh_line("qemu:///system", "suspend", "web1").endswith("suspend web1")
