"""Reading what people paste: virsh lines, lists of flags, calls in Python and Go."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.errors import PlanError, UsageError
from migrationlab.plan.given_call import CallForm, GivenCall
from migrationlab.plan.plan import Plan
from migrationlab.plan.read_call import LONGEST_CALL, read_call
from migrationlab.plan.settings import FLAG_BITS, settings
from migrationlab.plan.virsh_reader import MT_OPTIONS, SWITCHES, VALUES

URI = "qemu+ssh://root@host-b/system"
#: The options of virsh 11.3, from its own ``virsh help migrate``.
VIRSH_11_3 = """
--live --offline --p2p --direct --tunnelled --persistent --undefinesource --suspend
--copy-storage-all --copy-storage-inc --copy-storage-synchronous-writes --change-protection --unsafe
--verbose --compressed --auto-converge --rdma-pin-all --abort-on-error --postcopy
--postcopy-after-precopy --postcopy-resume --zerocopy --migrateuri --graphicsuri --listen-address
--dname --timeout --timeout-suspend --timeout-postcopy --xml --migrate-disks
--migrate-disks-detect-zeroes --disks-port --disks-uri --comp-methods --comp-mt-level
--comp-mt-threads --comp-mt-dthreads --comp-xbzrle-cache --auto-converge-initial
--auto-converge-increment --persistent-xml --tls --postcopy-bandwidth --parallel
--parallel-connections --bandwidth --tls-destination --comp-zlib-level --comp-zstd-level
--available-switchover-bandwidth --domain --desturi
"""


def changed(text: str) -> dict[str, Any]:
    """Return what a text sets, besides the URIs."""
    values = read_call(text).plan.changed()
    return {name: value for name, value in values.items() if not name.endswith("_uri")}


def reasons(call: GivenCall) -> str:
    """Return the reasons why a call cannot work."""
    return "\n".join(problem.reason for problem in call.problems(destination="host-b"))


def test_every_option_of_virsh_is_known() -> None:
    """The reader knows the options of virsh 11.3, and besides only those of newer settings."""
    newer = {
        option
        for about in settings()
        if about.since and tuple(map(int, about.since.split("."))) > (11, 3, 0)
        for option in about.virsh_options
    }
    assert set(VIRSH_11_3.split()) | newer == SWITCHES | VALUES


@pytest.mark.parametrize("option", sorted({*VIRSH_11_3.split()} - MT_OPTIONS - {"--direct"}))
def test_each_option_is_read(option: str) -> None:
    """An option with a value that fits is no unknown word."""
    values = {"--comp-methods": "xbzrle", "--domain": "web", "--desturi": URI, "--xml": "a.xml"}
    value = values.get(option, "49300" if "port" in option else "8") if option in VALUES else ""
    given = "" if option == "--domain" else "web "
    call = read_call(
        f"virsh migrate {given}{option} {value} {'' if option == '--desturi' else URI}"
    )
    assert call.domain == "web"
    assert "knows" not in reasons(call)


@pytest.mark.parametrize(
    "text",
    [
        f"virsh migrate --live web {URI}",
        f"  sudo /usr/bin/virsh migrate web {URI} --live",
        f"root@host-a:~# virsh migrate --live web {URI} 2>&1 | tee log",
        f"virsh # migrate --live web {URI}",
        f"migrate --live web {URI}",
        f"virsh migrate --live \\\n   web \\\n {URI}",
        f"virsh migrate --live web\n  --desturi {URI}",
        f"virsh migrate --live --domain=web --desturi={URI} # as root",
        f'virsh "migrate --live web {URI}"',
        f"LC_ALL=C virsh -q -k 5 migrate --verbose --live -- web {URI} > out.txt",
        f"$ uptime\n 10:00 up\n$ virsh migrate --live web {URI}\nerror: operation failed\n",
    ],
)
def test_a_line_is_found_in_what_was_pasted(text: str) -> None:
    """Prompts, other words, continued lines and the shell's own signs do not matter."""
    call = read_call(text)
    assert (call.form, call.domain) == (CallForm.VIRSH, "web")
    assert call.plan == Plan(migration_uri="auto", connection_uri=URI)
    assert call.problems() == ()
    assert repr(call).startswith("GivenCall(virsh, Plan(")


@pytest.mark.parametrize(
    ("before", "source_uri", "source"),
    [
        ("virsh", "qemu:///system", None),
        ("virsh -c qemu+ssh://node1/system", "qemu+ssh://node1/system", "node1"),
        ("virsh -cqemu+ssh://node1/system", "qemu+ssh://node1/system", "node1"),
        ("virsh --connect=qemu+tls://node1/system", "qemu+tls://node1/system", "node1"),
        ("LIBVIRT_DEFAULT_URI=qemu+tcp://n/system virsh", "qemu+tcp://n/system", "n"),
        ("virsh -c qemu+ssh://localhost/system", "qemu+ssh://localhost/system", None),
    ],
)
def test_the_source_is_where_virsh_connects_to(
    before: str, source_uri: str, source: str | None
) -> None:
    """The source's URI is virsh's own, and its host is the source."""
    call = read_call(f"{before} migrate --live web {URI}")
    assert (call.source_uri, call.source) == (source_uri, source)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ("--p2p --tunnelled", {"mode": "peer2peer", "tunnelled": True, "live": False}),
        ("--live --compressed", {"compression": ()}),
        ("--live --comp-methods zstd,zlib", {"compression": ("zstd", "zlib")}),
        ("--live --copy-storage-inc --migrate-disks vda,vdb",
         {"copy_storage": "incremental", "copy_disks": ("vda", "vdb")}),
        ("--live --timeout 60", {"suspend_after_s": 60.0}),
        ("--live --postcopy --timeout 60 --timeout-postcopy",
         {"postcopy": True, "postcopy_after_s": 60.0}),
        ("--live --postcopy --postcopy-after-precopy",
         {"postcopy": True, "postcopy_after_iteration": 1}),
        ("--live --timeout 0 --bandwidth 0 --disks-port 0", {}),
        ("--offline --persistent", {"offline": True, "persistent": True}),
    ],
)  # fmt: skip
def test_options_are_settings(options: str, values: dict[str, Any]) -> None:
    """Each option sets what it means."""
    assert changed(f"virsh migrate {options} web {URI}") == values


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("virsh migrate --liv web URI", "knows (got '--liv')"),
        ("virsh migrate --live --live web URI", "each option once (got --live twice)"),
        ("virsh migrate --live=yes web URI", "no value after --live (got 'yes')"),
        ("virsh migrate --live --bandwidth 1G web URI", "whole number of MiB/s after --band"),
        ("virsh migrate --live --offline web URI", "virsh refuses both"),
        ("virsh migrate --live --timeout soon web URI", "after --timeout (got 'soon')"),
        ("virsh migrate --live --timeout-suspend web URI", "--timeout with --timeout-suspend"),
        ("virsh migrate --timeout 60 web URI", "suspend_after_s=60.0 needs live=True"),
        ("virsh migrate --live --timeout 9 --timeout-postcopy web URI", "needs postcopy=True"),
        ("virsh migrate --live --tls-destination x web URI", "needs tls=True"),
        ("virsh migrate --live --persistent-xml x web URI", "--persistent with --persistent-xml"),
        ("virsh migrate --live --direct web URI", "no direct migration"),
        ("virsh migrate --live --compressed --comp-methods mt web URI", "(got 'mt')"),
        ("virsh migrate --live --comp-mt-level 3 web URI", "QEMU 9.1 removed"),
        ("virsh migrate --live --copy-storage-all --copy-storage-inc web URI", "refuses both"),
        ("virsh migrate --live --tls --tls --tls web URI", "each option once"),
        ("virsh migrate --live web URI --dname", "a value after --dname (got none)"),
        ("virsh migrate --live web", "must have desturi (got none)"),
        ("virsh migrate --live", "must have domain (got none)"),
        ("virsh migrate a URI tcp://h vnc://h:1 :: n 1 x.xml vda vda 1 more", "no more values"),
        ("virsh migrate --live -c qemu:///system web URI", "knows (got '-c')"),
        ("virsh -r migrate --live web URI", "must not be read-only"),
        ("virsh migrate \u2014live web URI", "plain hyphens in its options (got '\\u2014live')"),
        ("virsh migrate --migrate\u2010disks vda web URI", "plain hyphens"),
        ("virsh migrate --live \u201cweb\u201d URI", "straight quotation marks"),
        ("virsh migrate --live\u00a0web URI", "ordinary spaces"),
        ("virsh migrate --live 'web URI", "close each quotation mark"),
    ],
)  # fmt: skip
def test_what_virsh_refuses_is_a_problem(line: str, reason: str) -> None:
    """A line that virsh or libvirt refuses has that problem, and a hint."""
    call = read_call(line.replace("URI", URI))
    found = call.problems(destination="host-b")
    assert any(reason in problem.reason for problem in found), found
    assert all(problem.hint for problem in found)


@pytest.mark.parametrize(
    ("line", "settings_then"),
    [
        ("virsh migrate --postcopy web URI", {"postcopy": True}),
        ("virsh migrate --live --p2p --tunnelled --copy-storage-all web URI",
         {"mode": "peer2peer", "copy_storage": "full", "tls": True}),
        ("virsh migrate --live --comp-methods zstd web URI",
         {"compression": ("zstd",), "parallel": True}),
        ("virsh migrate --live --parallel --comp-methods xbzrle web URI",
         {"compression": ("zstd",), "parallel": True}),
        ("virsh migrate --live --zerocopy web URI", {"zerocopy": True, "parallel": True}),
        ("virsh migrate --offline --bandwidth 8 web URI", {"offline": True, "persistent": True}),
        ("virsh migrate --live --parallel-connections 4 web URI",
         {"parallel": True, "parallel_connections": 4}),
        ("virsh migrate --live --parallel --parallel-connections 400 web URI",
         {"parallel": True, "parallel_connections": 255}),
        ("virsh migrate --live --compressed --comp-methods xbzrl web URI",
         {"compression": ("xbzrle",)}),
        ("virsh migrate --live --tls-destination b web URI",
         {"tls": True, "tls_destination": "b"}),
        ("virsh migrate --live --xbzrle web URI", {}),
    ],
)  # fmt: skip
def test_the_nearest_plan_works(line: str, settings_then: dict[str, Any]) -> None:
    """What would work instead has no problems, and keeps the purpose of the line."""
    call = read_call(line.replace("URI", URI))
    assert call.problems()
    instead = call.instead()
    assert instead is not None
    assert instead.problems() == ()
    values = instead.changed()
    assert {name: values[name] for name in values if not name.endswith("_uri")} == settings_then
    assert read_call(shlex.join(call.virsh(instead, "web"))).problems() == ()


def test_a_migration_uri_in_the_wrong_place_is_moved() -> None:
    """The URI of the destination's QEMU goes to --migrateuri."""
    call = read_call("virsh migrate --live --p2p web tcp://host-b:49152")
    assert "this is a migration URI" in reasons(call)
    instead = call.instead()
    assert instead is not None
    assert instead.migration_uri == "tcp://host-b:49152"
    assert instead.connection_uri == URI


def test_files_of_xml_stay_in_the_line_and_are_not_read() -> None:
    """A file is named again in the line that would work, and a note says that nobody read it."""
    call = read_call(f"virsh migrate --live --xml 'my web.xml' web {URI}")
    assert call.files == {"--xml": "my web.xml"}
    assert any("is not read here" in note for note in call.notes())
    assert call.virsh(call.plan, "web")[-2:] == ["--xml", "my web.xml"]


def test_what_has_no_effect_is_a_note() -> None:
    """libvirt takes what migrationlab alone refuses, so it is no problem of a line."""
    call = read_call(f"virsh migrate --live --disks-port 49300 web {URI}")
    assert call.problems() == ()
    assert any("libvirt accepts this, but: disks_port" in note for note in call.notes())


def test_virsh_on_the_destination_needs_a_source_elsewhere() -> None:
    """The client's own libvirtd can be the destination if the source is another host."""
    remote = "virsh -c qemu+ssh://node1/system migrate --live web"
    assert read_call(f"{remote} qemu:///system").problems() == ()
    assert any(
        "run it on the destination" in n for n in read_call(f"{remote} qemu:///system").notes()
    )
    assert "the source host itself" in reasons(read_call(f"{remote} --p2p qemu:///system"))
    here = read_call("virsh migrate --live web qemu:///system")
    assert "must name a host" in reasons(here)
    assert any("virsh --connect qemu+ssh://root@SOURCE/system" in note for note in here.notes())


#: Lines and flags from public reports, with made-up names; the words of what is wrong, or none.
POSTCOPY = """\
virsh migrate --postcopy --post\u2010copy-after-precopy --postcopy-bandwidth 10 --unsafe \
--xml web.xml web qemu+ssh://192.0.2.2/system"""
PARALLEL = """\
virsh migrate --live --parallel --parallel-connections 4 --migrateuri tcp://192.0.2.33 web \
qemu+tcp://192.0.2.33/system"""
SOCKETS = """\
virsh migrate --live --p2p web 'qemu+unix:///system?socket=/var/run/peer/virtqemud-sock' \
--migrateuri unix:///var/run/peer/49152.sock"""
TUNNEL = """\
flags: VIR_MIGRATE_UNDEFINE_SOURCE, VIR_MIGRATE_PEER2PEER, VIR_MIGRATE_TUNNELLED, \
VIR_MIGRATE_NON_SHARED_INC"""
ZSTD = "virsh migrate --live --compressed --comp-methods zstd web qemu+ssh://192.0.2.18/system"
REPORTED: list[tuple[str, tuple[str, ...]]] = [
    (POSTCOPY, ("plain hyphens", "--postcopy-after-precopy", "postcopy=True needs live=True")),
    (PARALLEL, ()),
    ("virsh migrate --live --migrateuri tcp://192.0.2.7:0 web qemu+ssh://192.0.2.7/system", ()),
    (SOCKETS, ()),
    (TUNNEL, ("a tunnel does not carry", "set tls=True")),
    ("virsh migrate --p2p web tcp://host-b:49152", ("this is a migration URI", "--migrateuri")),
    ("virsh migrate --live web qemu://root@192.0.2.48/system", ()),
    (ZSTD, ("needs parallel=True",)),
]


@pytest.mark.parametrize(("text", "words"), REPORTED)
def test_reported_calls_are_judged_as_they_went(text: str, words: tuple[str, ...]) -> None:
    """What failed in a report has its reason, and what worked has no problem."""
    problems = read_call(text).problems(destination="host-b")
    assert bool(problems) is bool(words), problems
    said = "\n".join(f"{problem.reason} {problem.hint}" for problem in problems)
    assert [each for each in words if each not in said] == []


def test_disks_go_over_tcp_beside_rdma() -> None:
    """RDMA carries the memory alone; QEMU copies disks by NBD."""
    line = "virsh migrate --live --copy-storage-all --migrateuri rdma://b web qemu+ssh://b/system"
    call = read_call(line)
    assert call.problems() == ()
    carried = [(each.carries, each.uri) for each in call.plan.connections()[2:]]
    assert carried == [("guest memory", "rdma://b"), ("disks", None)]
    assert any("over TCP" in note for note in call.notes())


def test_a_uri_without_transport_is_noted_as_tls() -> None:
    """A missing transport means TLS, which is seldom what was meant: a note says so."""
    call = read_call("virsh migrate --live web qemu://root@192.0.2.48/system")
    assert any("names no transport, so libvirt uses TLS" in note for note in call.notes())


NOVA = "VIR_MIGRATE_UNDEFINE_SOURCE, VIR_MIGRATE_PEER2PEER, VIR_MIGRATE_LIVE"


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (NOVA, ("LIVE", "PEER2PEER", "UNDEFINE_SOURCE")),
        (f"live_migration_flag={NOVA}", ("LIVE", "PEER2PEER", "UNDEFINE_SOURCE")),
        ("libvirt.MIGRATE_LIVE | libvirt.MIGRATE_PEER2PEER", ("LIVE", "PEER2PEER")),
        ("libvirt.MigrateLive|libvirt.MigratePeer2peer", ("LIVE", "PEER2PEER")),
        ("Sys::Virt::Domain::MIGRATE_LIVE", ("LIVE",)),
        ("flags=3", ("LIVE", "PEER2PEER")),
        ("virDomainMigratePerform3: flags=0x2003", ("LIVE", "PEER2PEER", "AUTO_CONVERGE")),
        ("0x3", ("LIVE", "PEER2PEER")),
    ],
)
def test_flags_are_read_in_every_language(text: str, flags: tuple[str, ...]) -> None:
    """Names of C, Python, Go and Perl, and the number, mean the same flags."""
    call = read_call(text)
    assert call.form is CallForm.FLAGS
    assert call.plan.flags() == flags
    assert call.problems() == ()


@pytest.mark.parametrize("name", [name for name in FLAG_BITS if name != "NON_SHARED_INC"])
def test_each_flag_is_read(name: str) -> None:
    """A flag alone is in the plan that it gives."""
    with_live = {"POSTCOPY"}
    text = f"VIR_MIGRATE_{name}" + (" | VIR_MIGRATE_LIVE" if name in with_live else "")
    assert name in read_call(text).plan.flags()


def test_parameters_of_calls_are_read() -> None:
    """Python's dictionary and Go's struct give the parameters and the connection URI."""
    python = read_call(
        'dom.migrateToURI3("qemu+tls://b/system", {libvirt.VIR_MIGRATE_PARAM_URI: "tcp://10.0.0.2",'
        ' "bandwidth": 40, "auto_converge.initial": 30}, libvirt.VIR_MIGRATE_LIVE | '
        "libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_AUTO_CONVERGE)"
    )
    assert python.problems() == ()
    assert python.plan == Plan(
        mode="peer2peer", connection_uri="qemu+tls://b/system", migration_uri="tcp://10.0.0.2",
        bandwidth_mib_s=40, auto_converge=True, auto_converge_initial_percent=30,
    )  # fmt: skip
    go = read_call(
        'domain.MigrateToURI3("qemu+tcp://b/system", &libvirt.DomainMigrateParameters{URI: '
        '"tcp://b", URISet: true, Bandwidth: 10, MigrateDisks: []string{"vda", "vdb"}, '
        "MigrateDisksSet: true}, libvirt.MIGRATE_LIVE | libvirt.MIGRATE_PEER2PEER | "
        "libvirt.MIGRATE_NON_SHARED_DISK)"
    )
    assert go.problems() == ()
    assert (go.plan.bandwidth_mib_s, go.plan.copy_disks) == (10, ("vda", "vdb"))
    assert (go.plan.migration_uri, go.plan.connection_uri) == ("tcp://b", "qemu+tcp://b/system")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("VIR_MIGRATE_LIVE, VIR_MIGRATE_PEER_TO_PEER", "(got 'VIR_MIGRATE_PEER_TO_PEER')"),
        ("flags=0x80000001", "(got 0x80000000 besides)"),
        ("dom.migrateToURI3(uri, {}, libvirt.VIR_MIGRATE_LIVE)", "PEER2PEER with migrateToURI"),
        ("dom.migrate3(conn, {}, libvirt.VIR_MIGRATE_LIVE|VIR_MIGRATE_PEER2PEER)", "with migrate3"),
        ("VIR_MIGRATE_NON_SHARED_DISK|VIR_MIGRATE_NON_SHARED_INC", "must have one of"),
        ("VIR_MIGRATE_PEER2PEER, VIR_MIGRATE_TUNNELLED, VIR_MIGRATE_NON_SHARED_INC",
         "cannot be combined with tunnelled=True"),
    ],
)  # fmt: skip
def test_flags_that_cannot_work_are_problems(text: str, reason: str) -> None:
    """Flags that libvirt does not have, or refuses together, are named."""
    assert reason in reasons(read_call(text))


@pytest.mark.parametrize("text", ["", "virsh list --all", "hello", "migrate", "0", "virsh -h"])
def test_another_text_is_refused(text: str) -> None:
    """A text without a call is an error with an example."""
    with pytest.raises(UsageError, match="must be a virsh migrate line or the flags") as refused:
        read_call(text)
    assert "migrationlab plan --virsh" in refused.value.hint


def test_a_longer_text_is_refused() -> None:
    """A whole log is no call."""
    with pytest.raises(UsageError, match="at most 65536 characters"):
        read_call("x" * (LONGEST_CALL + 1))


WORDS = st.sampled_from([*sorted(SWITCHES | VALUES), "web", URI, "5", "--", "\u2014p2p", "'", "#"])


@given(st.lists(WORDS | st.text(max_size=8), max_size=12))
def test_no_line_breaks_the_reader(words: list[str]) -> None:
    """Whatever follows virsh migrate, the reader answers, and what would work has no problem."""
    try:
        call = read_call(f"virsh migrate {' '.join(words)}")
    except (UsageError, PlanError):
        return
    call.notes()
    instead = call.instead()
    assert instead is None or instead.problems(source_uri=call.source_uri) == ()


@given(st.data())
def test_a_line_of_a_plan_gives_the_plan_again(data: st.DataObject) -> None:
    """Reading the virsh line of a valid plan gives the same plan, where virsh can say it."""
    names = [
        about.name
        for about in settings()
        if about.flags and about.name not in {"mode", "live", "copy_storage", "compression"}
    ]
    switches = data.draw(st.lists(st.sampled_from(names), unique=True, max_size=4))
    plan = Plan.from_dict(
        {"migration_uri": "auto", "connection_uri": URI} | dict.fromkeys(switches, True)
    )
    if plan.problems() or plan.offline:
        return
    assert read_call(shlex.join(plan.virsh("web"))).plan == plan
