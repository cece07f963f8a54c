"""Plans are validated without hosts; tests/lab/test_validation.py compares with libvirt."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migrationlab.plan import host_rules
from migrationlab.plan import rules as rules_module
from migrationlab.plan.plan import Plan
from migrationlab.plan.rules import constraints
from migrationlab.plan.settings import settings
from migrationlab.plan.validation import (
    ACCEPTED_BY_LIBVIRT,
    RULES,
    DiskFacts,
    DomainFacts,
    Side,
    Situation,
    accepted_by,
    domain_facts,
)

NEW = Side(name="node1", libvirt=(11, 3, 0), qemu=(10, 0, 2))
OLD = Side(name="node2", libvirt=(9, 0, 0), qemu=(7, 2, 22))
HOSTS = Situation(source=NEW, destination=replace(NEW, name="node2"))
XML = """\
<domain type="kvm">
  <name>web1</name>
  <uuid>6a7d1f0e-52c6-4d4e-9d52-1f6a5b1c7e01</uuid>
  <memory unit="GiB">1</memory>
  <memtune><hard_limit unit="KiB">2097152</hard_limit></memtune>
  <vcpu>2</vcpu>
  <os><type arch="x86_64" machine="pc-q35-10.0">hvm</type></os>
  <devices>
    <disk type="file"><driver cache="none"/><source file="/a.qcow2"/><target dev="vda"/></disk>
    <disk type="file" device="cdrom"><target dev="sda"/><readonly/></disk>
    <disk type="network"><source protocol="rbd" name="pool/b"/><target dev="vdb"/></disk>
    <interface type="bridge"><mac address="52:54:00:00:00:01"/></interface>
  </devices>
</domain>
"""
# What breaks each rule that libvirt does not have; libvirt's are tested on real daemons.
ACCEPTED: dict[str, dict[str, Any]] = {
    "offline=True excludes bandwidth_mib_s": {
        "offline": True,
        "persistent": True,
        "parallel": True,
    },
    "max_downtime_ms excludes offline=True": {
        "offline": True,
        "persistent": True,
        "max_downtime_ms": 5,
    },
    "disks_port needs copy_storage": {"disks_port": 49300},
    "tls_destination needs tls=True": {"tls_destination": "node2"},
    "persistent_xml needs persistent=True": {"persistent_xml": XML},
    "rdma_pin_all=True needs migration_uri=rdma:": {"rdma_pin_all": True},
    "parallel=True excludes migration_uri=rdma:": {
        "parallel": True,
        "migration_uri": "rdma://node2",
    },
    "postcopy=True excludes migration_uri=rdma:": {
        "postcopy": True,
        "migration_uri": "rdma://node2",
    },
    "compression excludes migration_uri=rdma:": {
        "compression": ("xbzrle",),
        "migration_uri": "rdma://node2",
    },
    "postcopy_after_iteration needs postcopy=True": {"postcopy_after_iteration": 2},
    "suspend_after_iteration excludes postcopy_after_iteration": {
        "suspend_after_s": 5,
        "postcopy": True,
        "postcopy_after_s": 3,
    },
    "suspend_after_iteration needs live=True and offline=False": {
        "suspend_after_iteration": 2,
        "live": False,
    },
    "abort_when_diverging_s needs live=True and offline=False": {
        "abort_when_diverging_s": 10,
        "live": False,
    },
    "downtime_steps needs max_downtime_ms and downtime_step_s": {"downtime_steps": 5},
    "downtime_step_s needs downtime_steps": {"downtime_step_s": 5},
    "policy_options needs policy": {"policy_options": {"downtime_ms": 500}},
    "qemu_parameters excludes offline=True": {
        "qemu_parameters": {"announce-rounds": 3},
        "offline": True,
        "persistent": True,
        "live": False,
    },
    "policy excludes max_downtime_ms": {"policy": "nova", "max_downtime_ms": 500},
    "policy excludes postcopy_after_iteration": {
        "policy": "nova",
        "postcopy": True,
        "postcopy_after_iteration": 2,
    },
    "policy excludes abort_when_diverging_s": {"policy": "nova", "abort_when_diverging_s": 5},
    "policy needs live=True and offline=False": {"policy": "nova", "live": False},
}


def rules(plan: Plan, situation: Situation | None = None) -> list[str]:
    """Return the names of the rules that a plan breaks."""
    return [problem.rule for problem in plan.problems(situation=situation)]


def facts(**changes: Any) -> Situation:
    """Return a situation with a domain of which only ``changes`` are known."""
    return replace(HOSTS, domain=DomainFacts(**changes))


def test_rules_are_complete() -> None:
    """Each rule has a unique name, fields of a plan, a reason, a fix and a source."""
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    known = {about.name for about in settings()}
    for rule in RULES:
        assert known.issuperset(rule.fields)
        assert rule.why[0].islower() or rule.why.startswith(("QEMU", "RDMA"))
        assert not rule.why.endswith(".")
        assert rule.source
        problem = rule.problem(Plan())
        assert problem.field in rule.fields
        assert problem.hint.endswith(".")
        assert problem.hint.split()[0] in {"Leave", "Name", "Set"}


def test_rules_file_has_no_surplus() -> None:
    """Each row has one kind of condition and known keys; each named source is used."""
    table = tomllib.loads(Path(rules_module.__file__).with_suffix(".toml").read_text())
    assert set(table) == {"rules", "sources"}
    known = {
        "setting", "why", "source", "when", "fix", "performed", "reference", "instead",
        "refused_since",
    }  # fmt: skip
    for row in table["rules"]:
        assert len(row.keys() & {"needs", "excludes", "wrong"}) == 1
        assert row.keys() - {"needs", "excludes", "wrong"} <= known
        assert row["source"] in table["sources"] or ": " in row["source"]
        assert ("wrong" in row) == ("reference" in row)
        assert "wrong" not in row or row["fix"]
    assert {row["source"] for row in table["rules"]} >= set(table["sources"])


def test_host_rules_file_has_no_surplus() -> None:
    """Each rule about hosts has its texts, no other key, and a test of plans."""
    code = Path(host_rules.__file__)
    for rule, text in tomllib.loads(code.with_suffix(".toml").read_text()).items():
        assert text.keys() - {"accepted"} == {"field", "reason", "hint"}
        assert text["hint"].endswith(".")
        assert f'_problem("{rule}"' in code.read_text()


@pytest.mark.parametrize("rule", ACCEPTED)
def test_plans_that_libvirt_accepts_can_be_refused(rule: str) -> None:
    """A plan that libvirt would take for something else than was meant is refused."""
    plan = Plan.from_dict(ACCEPTED[rule])
    (problem,) = [problem for problem in plan.problems() if problem.rule == rule]
    (known,) = [each for each in RULES if each.name == rule]
    assert problem.field in plan.changed()
    assert problem.field in known.fields
    assert known.why in problem.reason


def test_every_rule_that_libvirt_does_not_have_is_tested() -> None:
    """Each rule that libvirt does not have has a plan that breaks it."""
    accepted = {rule.name for rule in RULES if rule.accepted}
    assert accepted <= set(ACCEPTED)
    assert accepted <= ACCEPTED_BY_LIBVIRT


@pytest.mark.parametrize(
    ("values", "reason", "hint"),
    [
        (
            {"zerocopy": True},
            "zerocopy=True needs parallel=True: only parallel connections can send without a copy",
            "Set parallel=True, or leave out zerocopy=True.",
        ),
        (
            {"copy_storage": "full", "disks_port": 49300, "disks_uri": "tcp://node2:1"},
            (
                "disks_port=49300 cannot be combined with disks_uri='tcp://node2:1': "
                "the URI of the disks has its own port"
            ),
            "Leave out disks_port=49300, or leave out disks_uri='tcp://node2:1'.",
        ),
        (
            {"compression": ("xbzrle",), "xbzrle_cache_bytes": 100_000},
            "xbzrle_cache_bytes must be a power of two (got 100000)",
            "Set xbzrle_cache_bytes=67108864, which is 64 MiB.",
        ),
        (
            {"suspend_after_s": 5, "live": False},
            (
                "suspend_after_s=5.0 needs live=True and offline=False: "
                "a guest that does not run during its migration cannot be paused"
            ),
            "Set live=True and offline=False, or leave out suspend_after_s=5.0.",
        ),
        (
            {"offline": True, "persistent": True, "tls": True, "bandwidth_mib_s": 5},
            (
                "offline=True cannot be combined with bandwidth_mib_s=5 and tls=True: an offline "
                "migration sends no memory"
            ),
            "Leave out offline=True, or leave out bandwidth_mib_s=5 and tls=True.",
        ),
    ],
)
def test_messages_of_rules(values: dict[str, Any], reason: str, hint: str) -> None:
    """A broken rule says what the plan has, what it must have, why, and what to do."""
    (problem,) = Plan.from_dict(values).problems()
    assert (problem.reason, problem.hint) == (reason, hint)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("zerocopy", "Needs parallel. Not with offline, compression or tls."),
        ("tls_destination", "Needs tls."),
        ("disks_uri", ("Needs copy_storage. Not with disks_port. unix: not with tls if "
         "copy_storage.")),
        ("xbzrle_cache_bytes", "A power of two. Needs compression=('xbzrle',)."),
        ("undefine_source", ""),
    ],
)  # fmt: skip
def test_reference_text_follows_from_the_rules(name: str, text: str) -> None:
    """The constraints in the reference are the rules, from the side of each setting."""
    assert constraints(name) == text


@pytest.mark.parametrize(
    ("values", "broken"),
    [
        ({"zlib_level": 0}, ["zlib_level needs compression=zlib"]),
        ({"compression": ()}, []),
        (
            {"compression": (), "parallel": True},
            ["compression must name a method with parallel=True"],
        ),
        ({"copy_disks": ()}, []),
        ({"mode": "peer2peer", "tunnelled": True, "migration_uri": "auto"}, []),
        ({"mode": "peer2peer", "tunnelled": True, "destination_name": "auto"}, []),
    ],
)
def test_what_counts_as_given(values: dict[str, Any], broken: list[str]) -> None:
    """A level of 0 and an empty list of methods are given; auto and an empty list of disks not."""
    assert rules(Plan.from_dict(values)) == broken


def test_all_problems_at_once() -> None:
    """Each contradiction of a plan is listed, not the first one only."""
    plan = Plan(tunnelled=True, postcopy=True, paused=True, parallel=True, zlib_level=10)
    assert set(rules(plan)) == {
        "tunnelled=True needs mode=peer2peer",
        "postcopy=True excludes tunnelled=True",
        "parallel=True excludes tunnelled=True",
        "postcopy=True excludes paused=True",
        "zlib_level needs compression=zlib",
        "value-range",
    }


@pytest.mark.parametrize(
    ("values", "field", "hint"),
    [
        ({"compression": ("zsdt",), "parallel": True}, "compression", "Set compression=('zstd',)"),
        ({"copy_storage": "zzz"}, "copy_storage", "Set copy_storage='full'"),
        ({"copy_storage": "incremenal"}, "copy_storage", "Set copy_storage='incremental'"),
        ({"listen_address": "a b"}, "listen_address", "Give an address"),
        ({"listen_address": ""}, "listen_address", "Give an address"),
        ({"destination_name": "a/b"}, "destination_name", "Give a name"),
        ({"tls": True, "tls_destination": "a b"}, "tls_destination", "Give the name"),
        ({"graphics_uri": "http://node2"}, "graphics_uri", "Write spice://HOST:PORT"),
        ({"graphics_uri": "vnc://"}, "graphics_uri", "Write spice://HOST:PORT"),
        ({"copy_storage": "full", "disks_uri": "tcp://"}, "disks_uri", "Write tcp://"),
        ({"copy_storage": "full", "disks_uri": "x"}, "disks_uri", "Write tcp://"),
        ({"copy_storage": "full", "disks_uri": "tcp://h:99999"}, "disks_uri", "Leave out the port"),
        ({"copy_storage": "full", "disks_uri": "tcp://localhost"}, "disks_uri", "Write tcp://"),
        ({"graphics_uri": "vnc://h:0"}, "graphics_uri", "Leave out the port"),
        ({"copy_storage": "full", "disks_uri": "unix:x"}, "disks_uri", "Write three slashes"),
        ({"destination_xml": ""}, "destination_xml", "Take the domain's own XML"),
        ({"destination_xml": "<domain>"}, "destination_xml", "Take the domain's own XML"),
        ({"destination_xml": "<network/>"}, "destination_xml", "Take the domain's own XML"),
        (
            {"destination_xml": '<!DOCTYPE d [<!ENTITY e "x">]><domain>&e;</domain>'},
            "destination_xml",
            "Take the domain's own XML",
        ),
    ],
)
def test_unknown_words_and_invalid_texts_are_problems(
    values: dict[str, Any], field: str, hint: str
) -> None:
    """An unknown word or an invalid text is a problem of its field."""
    (problem,) = Plan.from_dict(values).problems()
    assert problem.field == field
    assert problem.hint.startswith(hint)


@pytest.mark.parametrize(
    "values",
    [
        {"migration_uri": "unix:///run/m.sock", "tls": True, "tls_destination": "node2"},
        {"migration_uri": "rdma://node2", "rdma_pin_all": True},
        {"migration_uri": "auto", "listen_address": "::"},
        {"copy_storage": "full", "disks_uri": "unix:///run/d.sock"},
        {"copy_storage": "incremental", "copy_disks": ("vda",), "disks_port": 49300},
        {"postcopy": True, "postcopy_after_iteration": 2, "postcopy_bandwidth_mib_s": 100},
        {"max_downtime_ms": 500, "downtime_steps": 10, "downtime_step_s": 1.5},
        {"parallel": True, "compression": ["zstd"], "zstd_level": 20, "parallel_connections": 255},
        {"compression": (), "auto_converge": True, "auto_converge_initial_percent": 99},
        {"compression": ("xbzrle",), "xbzrle_cache_bytes": 1 << 26},
        {"offline": True, "persistent": True, "undefine_source": True},
        {"mode": "peer2peer", "tunnelled": True, "abort_on_error": True},
        {"destination_xml": XML, "persistent_xml": XML, "persistent": True},
        {"suspend_after_s": 5, "abort_when_diverging_s": 20},
        {"graphics_uri": "spice://console.example.org:5900/?tlsPort=5901"},
    ],
)
def test_valid_plans_have_no_problem(values: dict[str, Any]) -> None:
    """Settings that belong together are no problem."""
    assert Plan.from_dict(values).problems(situation=HOSTS) == ()


@pytest.mark.parametrize(
    ("values", "source", "destination", "wrong"),
    [
        ({"parallel": True, "compression": ("zstd",)}, NEW, OLD, ["compression"]),
        ({"parallel": True, "zstd_level": 3, "compression": ("zstd",)}, OLD, OLD,
         ["compression", "zstd_level", "compression", "zstd_level"]),
        ({"switchover_bandwidth_mib_s": 100}, OLD, NEW, ["switchover_bandwidth_mib_s"] * 2),
        ({"switchover_bandwidth_mib_s": 100}, NEW, OLD, ["switchover_bandwidth_mib_s"]),
        ({"copy_storage": "full", "detect_zeroes_disks": ("vda",)}, NEW, OLD,
         ["detect_zeroes_disks"]),
        ({"parallel": True, "zerocopy": True}, replace(OLD, qemu=(7, 0)), OLD, ["zerocopy"]),
        ({"parallel": True, "zerocopy": True}, OLD, replace(OLD, qemu=(7, 0)), []),
        ({"migration_uri": "unix:///s"}, replace(OLD, libvirt=(6, 7, 0)), NEW, ["migration_uri"]),
        ({"postcopy": True, "parallel": True}, NEW, replace(NEW, qemu=(10, 1)), ["postcopy"]),
        ({"postcopy": True, "parallel": True}, *[replace(NEW, qemu=(10, 1))] * 2, []),
        ({"postcopy": True, "postcopy_resume": True}, NEW, NEW, ["postcopy_resume"]),
        ({"postcopy": True, "postcopy_resume": True}, NEW, replace(NEW, libvirt=(11, 4, 0)), []),
        ({"tls": True}, Side(), Side(), []),
        ({"parallel": True, "compression": ("zstd",)}, replace(OLD, libvirt=(9, 4, 0)), NEW, []),
    ],
)  # fmt: skip
def test_a_host_that_is_too_old_is_a_problem(
    values: dict[str, Any], source: Side, destination: Side, wrong: list[str]
) -> None:
    """A host too old for a setting is a problem; an unknown version is none."""
    found = Plan.from_dict(values).problems(
        situation=Situation(source=source, destination=replace(destination, name="node2"))
    )
    assert [problem.field for problem in found if problem.field != "destination"] == wrong


def test_missing_rights_are_problems() -> None:
    """Post-copy needs userfaultfd at the destination, zero-copy locked memory at the source."""
    hosts = Situation(
        source=replace(NEW, userfaultfd=False),
        destination=replace(NEW, name="node2", locks_memory=False),
    )
    plan = Plan(postcopy=True)
    assert rules(plan, hosts) == []
    assert rules(Plan(parallel=True, zerocopy=True), hosts) == []
    back = Situation(source=hosts.destination, destination=hosts.source)
    assert rules(plan, back) == ["userfaultfd-refused"]
    assert rules(Plan(parallel=True, zerocopy=True), back) == ["memory-lock-refused"]


def test_same_uuid_or_name_is_refused() -> None:
    """Two libvirtds with the same UUID, or hosts with the same name, are a problem."""
    twins = Situation(
        source=replace(NEW, uuid="1"), destination=replace(NEW, name="node2", uuid="1")
    )
    assert rules(Plan(), twins) == ["same-host-uuid"]
    (problem,) = Plan().problems(situation=Situation(source=NEW, destination=NEW))
    assert "must be another host than the source" in problem.reason


@pytest.mark.parametrize(
    ("values", "domain", "wrong"),
    [
        ({}, {"active": False}, ["domain-not-running"]),
        ({"offline": True, "persistent": True}, {"active": False, "persistent": True}, []),
        ({"offline": True, "persistent": True}, {"persistent": False}, ["domain-not-persistent"]),
        ({"postcopy": True}, {"paused": True}, ["postcopy-paused-guest"]),
        ({"postcopy": True, "postcopy_resume": True}, {"paused": True}, ["postcopy-resume-crash"]),
        ({"migration_uri": "rdma://node2"}, {"hard_limit": False}, ["rdma-hard-limit"]),
        ({"migration_uri": "rdma://node2"}, {"hard_limit": True}, []),
        ({}, {}, []),
    ],
)
def test_state_of_the_domain_can_forbid_a_plan(
    values: dict[str, Any], domain: dict[str, Any], wrong: list[str]
) -> None:
    """What the domain's state forbids is a problem, if the state is known."""
    assert rules(Plan.from_dict(values), facts(**domain)) == wrong


@pytest.mark.parametrize(
    ("accelerator", "qemu", "values", "wrong"),
    [
        ("tcg", (7, 2, 22), {}, ["tcg-unsafe"]),
        ("tcg", (8, 2), {"live": False}, ["tcg-unsafe"]),
        ("tcg", (7, 2, 22), {"allow_unsafe_tcg": True}, []),
        ("tcg", (7, 2, 22), {"offline": True, "persistent": True}, []),
        ("tcg", (9, 0), {}, []),
        ("kvm", (7, 2, 22), {}, []),
        ("tcg", None, {}, []),
    ],
)
def test_tcg_that_corrupts_memory(
    accelerator: str, qemu: tuple[int, ...] | None, values: dict[str, Any], wrong: list[str]
) -> None:
    """An emulated guest cannot leave a QEMU that loses writes, unless the plan allows it."""
    situation = replace(
        facts(accelerator=accelerator), source=Side(name="node1", libvirt=(9, 0, 0), qemu=qemu)
    )
    assert rules(Plan.from_dict(values), situation) == wrong


def test_disks_must_be_shared_or_copied() -> None:
    """A disk that is not shared must be copied, and only the domain's disks can be copied."""
    disks = (
        DiskFacts(target="vda", source="/a", kind="file", shared=False),
        DiskFacts(target="vdb", source="/b", kind="file", shared=True),
        DiskFacts(target="vdc", source="/c", kind="file"),
        DiskFacts(target="sda", source="/d", kind="file", shared=False, readonly=True),
        DiskFacts(target="sdb", source=None, kind="file", shared=False),
        DiskFacts(target="vdd", source="/e", kind="file", shared=False, shareable=True),
    )
    hosts = facts(disks=disks)
    (first, second) = Plan().problems(situation=hosts)
    assert (first.rule, second.rule) == ("disk-not-shared", "disk-not-shared")
    assert "vda (/a)" in first.reason
    assert rules(Plan(unsafe=True), hosts) == []
    # One that several guests may use at once is not copied unless it is named.
    assert rules(Plan(copy_storage="full"), hosts) == ["disk-not-shared"]
    both = Plan(copy_storage="full", copy_disks=("vda", "vdd"))
    assert both.problems(situation=hosts) == ()
    wrong = Plan(copy_storage="full", unsafe=True, copy_disks=("sda", "sdb", "vdaa"))
    found = wrong.problems(situation=hosts)
    assert [problem.rule for problem in found] == [
        "disk-unknown", "copy-disk-unfit", "copy-disk-unfit",
    ]  # fmt: skip
    assert found[0].hint == "Use vda."


def test_domain_facts() -> None:
    """A domain's XML has its name, accelerator, memory and disks; the rest stays unknown."""
    read = domain_facts(XML, active=True)
    assert (read.name, read.accelerator, read.memory_mib) == ("web1", "kvm", 1024)
    assert (read.active, read.persistent, read.hard_limit) == (True, None, True)
    assert read.disks == (
        DiskFacts(target="vda", source="/a.qcow2", kind="file", cache="none"),
        DiskFacts(target="sda", source=None, kind="file", readonly=True),
        DiskFacts(target="vdb", source="pool/b", kind="network", shared=True),
    )
    assert domain_facts("<domain type='qemu'/>").accelerator == "tcg"


@pytest.mark.parametrize(
    ("memory", "mib"),
    [
        ("<memory>1048576</memory>", 1024),
        ("<memory unit='b'>1048576</memory>", 1),
        ("<memory unit='MB'>1000</memory>", 953),
        ("<memory unit='G'>2</memory>", 2048),
        ("<memory unit='stone'>2</memory>", None),
        ("<memory>much</memory>", None),
        ("", None),
    ],
)
def test_memory_units(memory: str, mib: int | None) -> None:
    """Memory is read in every unit that libvirt knows; anything else stays unknown."""
    assert domain_facts(f"<domain>{memory}</domain>").memory_mib == mib


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("web1", "web2", "the name"),
        ("7e01", "7e02", "the UUID"),
        ("<uuid>6a7d1f0e-52c6-4d4e-9d52-1f6a5b1c7e01</uuid>", "", "the UUID"),
        ('type="kvm"', 'type="qemu"', "the type"),
        ('"GiB">1', '"GiB">2', "the memory"),
        ("<vcpu>2", "<vcpu>4", "the number of processors"),
        ("q35-10.0", "q35-9.2", "the machine type"),
        ('dev="vdb"', 'dev="vdc"', "the disks"),
        ("</devices>", "<rng/></devices>", "the number of random number generators"),
        ("00:01", "00:02", "the address of network card 1"),
    ],
)
def test_abi_changes(old: str, new: str, what: str) -> None:
    """XML that changes what the guest sees is refused, with the old and the new value."""
    plan = Plan(destination_xml=XML.replace(old, new))
    (problem,) = plan.problems(situation=facts(xml=XML))
    assert problem.rule == "abi-changed"
    assert f"destination_xml must keep {what}, which the guest sees (got " in problem.reason
    assert ("destination_name" in problem.hint) == (what == "the name")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/a.qcow2", "/b.qcow2"),
        ('cache="none"', 'cache="writeback"'),
        ('"GiB">1', '"MiB">1024'),
        ("pc-q35-10.0", "q35"),
        ("52:54:00:00:00:01", "52:54:00:00:00:01".upper()),
        ("</devices>", '<controller type="pci"/></devices>'),
        ("web1", "web1"),
    ],
)
def test_what_only_the_host_sees_may_change(old: str, new: str) -> None:
    """Images, caches, synonyms, and what libvirt adds itself are no change."""
    plan = Plan(destination_xml=XML.replace(old, new))
    assert plan.problems(situation=facts(xml=XML)) == ()


def test_plan_with_many_settings_is_valid() -> None:
    """A plan that uses much at once is valid, if all of it belongs together."""
    plan = Plan(
        mode="peer2peer", parallel=True, compression=("zstd",), zstd_level=3, bandwidth_mib_s=50,
        copy_storage="full", copy_disks=("vda",), postcopy_bandwidth_mib_s=5, tls=True,
        tls_destination="node2", destination_name="web2", max_downtime_ms=500, downtime_steps=5,
        downtime_step_s=1, abort_when_diverging_s=10,
    ).filled(destination="node2")  # fmt: skip
    situation = replace(HOSTS, domain=domain_facts(XML, active=True, persistent=True))
    assert plan.problems(situation=situation) == ()


@pytest.mark.parametrize(("qemu", "accepted"), [((7, 2), True), ((8, 1), False), ((10, 0), False)])
def test_old_qemu_accepts_parallel_postcopy(qemu: tuple[int, ...], *, accepted: bool) -> None:
    """Parallel post-copy is a problem before QEMU 10.1; QEMU itself refuses it from 8.1 on."""
    side = replace(NEW, qemu=qemu)
    found = rules(
        Plan(postcopy=True, parallel=True), Situation(source=side, destination=replace(side))
    )
    (rule,) = {each for each in found if each.startswith("postcopy-parallel")}
    assert (rule in ACCEPTED_BY_LIBVIRT) is accepted


@pytest.mark.parametrize(("libvirt", "accepted"), [((9, 0, 0), True), ((11, 3, 0), False)])
def test_old_libvirt_ignores_disks_that_no_storage_copies(
    libvirt: tuple[int, ...], *, accepted: bool
) -> None:
    """The plan is a problem on every libvirt; libvirt 9.0 itself accepts it and copies nothing."""
    side = replace(NEW, libvirt=libvirt)
    found = rules(Plan(copy_disks=("vda",)), Situation(source=side, destination=replace(side)))
    rule = "copy_disks needs copy_storage"
    assert rule in found
    assert (rule in accepted_by(libvirt)) is accepted


@pytest.mark.parametrize("methods", [(), ("xbzrle",)])
def test_old_libvirt_lets_xbzrle_have_parallel_connections(methods: tuple[str, ...]) -> None:
    """libvirt 9.0 accepts it, as no method means xbzrle; 9.4 refuses it."""
    broken = set(rules(Plan(parallel=True, compression=methods)))
    assert broken & accepted_by((9, 0, 0)) - accepted_by((9, 4, 0))


@pytest.mark.parametrize(("copy", "rule"), [(None, "value-range-own"), ("full", "value-range")])
def test_bandwidth_that_overflows_is_refused_where_disks_are_copied(
    copy: str | None, rule: str
) -> None:
    """libvirt checks the bandwidth of the copy of a disk, and not that of the memory."""
    assert rule in rules(Plan(bandwidth_mib_s=1 << 50, copy_storage=copy))


def test_disks_beside_a_unix_socket_need_their_own_uri() -> None:
    """libvirt checks that before it knows whether storage is copied, in 9.0 and 11.3 alike."""
    plan = Plan(migration_uri="unix:///run/m.sock", copy_disks=("vda",))
    assert "migration_uri=unix: needs disks_uri if copy_storage or copy_disks" in rules(plan)
