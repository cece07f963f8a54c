"""Read the flags and parameters of a call of libvirt's migration API, in any of its languages.

Flags have one name everywhere but for what stands before it: ``VIR_MIGRATE_LIVE`` in C, Python and
nova's configuration, ``libvirt.MIGRATE_LIVE`` in Go, Ruby and Perl, ``MigrateLive`` in go-libvirt.
Logs have them as one number. Parameters have a constant (``VIR_MIGRATE_PARAM_BANDWIDTH``), a name
(``"bandwidth"``), or a field of Go's ``DomainMigrateParameters`` (``Bandwidth``).

Sources: libvirt's ``include/libvirt/libvirt-domain.h``; ``src/libvirt-domain.c``
(virDomainMigrate3, virDomainMigrateToURI3: who may ask for which mode); libvirt-go-module's
``domain.go``; go-libvirt's ``const.gen.go``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from migrationlab.plan.given_call import CallForm, GivenCall
from migrationlab.plan.parsing import plan_of_texts
from migrationlab.plan.problem import Problem
from migrationlab.plan.settings import AUTO, FLAG_BITS, settings
from migrationlab.plan.wording import nearest, quote

FIELD = "flags"
_FLAG = re.compile(r"(?<![A-Za-z0-9])(?:VIR_|[A-Z]+_)?MIGRATE_(?!PARAM_)([A-Z][A-Z0-9_]+)")
_CAMEL_FLAG = re.compile(r"(?<![A-Za-z0-9])Migrate([A-Z]\w+)")
_NUMBER = re.compile(
    r"\bflags?\W{0,4}(0x[0-9a-f]{1,16}|[0-9]{1,20})\b|^\s*(0x[0-9a-f]{1,16})\s*$", re.IGNORECASE
)
#: libvirt's DOM_MIGRATE calls, by who controls the migration.
_TO_URI = re.compile(r"\bmigrateToURI[23]?\s*\(", re.IGNORECASE)
_MANAGED = re.compile(r"(?<![A-Za-z])migrate[23]?\s*\(", re.IGNORECASE)
_DESTINATION = re.compile(r"""["'](\w+\+?\w*://[^"'\s]+)["']""")
_VALUE = r"""(?P<value>"[^"\n]*"|'[^'\n]*'|\[[^\]\n]*\]|\{[^}\n]*\}|\d+)"""
_PARAMETER = re.compile(
    r"""(?:(?:VIR_)?(?:DOMAIN_)?MIGRATE_PARAM_(?P<constant>[A-Z0-9_]+)"""
    r"""|["'](?P<name>[a-z_]+(?:\.[a-z]+)*)["']|\b(?P<field>[A-Z][A-Za-z]+))"""
    r"""["']?\]?\s*[:=]\s*(?:\[\]string)?""" + _VALUE
)
#: The constants and fields whose names are not the parameter's own.
_SHORT_NAMES = {
    "uri": "migrate_uri", "destname": "destination_name", "destxml": "destination_xml",
    "persistxml": "persistent_xml",
}  # fmt: skip


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


_BY_BARE_FLAG = {_bare(name): name for name in FLAG_BITS}
_BY_BARE = {_bare(about.parameter): about for about in settings() if about.parameter}
_BY_FLAG = {flag.name: (about, flag) for about in settings() for flag in about.flags}


def read(text: str) -> GivenCall | None:
    """Return the migration of a text with flags of libvirt; None if it has none."""
    names, problems = _names(text)
    if not names:
        return None
    texts: dict[str, str | bool | None] = {"live": "LIVE" in names or "OFFLINE" in names}
    for name in names:
        about, flag = _BY_FLAG[name]
        texts[about.name] = flag.state
    if "COMPRESSED" in names:
        texts["compression"] = "default"
    if _TO_URI.search(text):
        texts["mode"] = "peer2peer"  # the only mode that QEMU has with this call
    texts |= _parameters(text)
    if (found := _DESTINATION.search(_PARAMETER.sub("", text))) is not None:
        texts["connection_uri"] = found[1]
    texts.setdefault("migration_uri", AUTO)
    plan, wrong = plan_of_texts(texts)
    return GivenCall(
        text=text,
        form=CallForm.FLAGS,
        plan=plan,
        text_problems=(*problems, *_refusals(text, names), *wrong),
    )


def _names(text: str) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """Return the flags of a text without a prefix, and the problems of those that do not exist."""
    problems = []
    found: dict[str, None] = {}
    for match in _FLAG.finditer(text):
        name = match[1]
        if name in FLAG_BITS:
            found[name] = None
            continue
        likely = nearest(name, [word.lower() for word in FLAG_BITS])
        hint = f"Use VIR_MIGRATE_{likely.upper()}." if likely else "See libvirt-domain.h."
        problems.append(_problem(f"must be flags of libvirt (got {quote(match[0])})", hint))
        if likely:
            found[likely.upper()] = None
    for match in _CAMEL_FLAG.finditer(text):
        if name := _BY_BARE_FLAG.get(_bare(match[1])):
            found[name] = None
    if not found and (number := _NUMBER.search(text)):
        bits = int(number[1] or number[2], 0)
        found = {name: None for name, bit in FLAG_BITS.items() if bits & bit}
        if rest := bits & ~sum(FLAG_BITS.values()):
            problems.append(
                _problem(f"must be flags of libvirt (got {rest:#x} besides)", "Leave them out.")
            )
    return tuple(found), tuple(problems)


def _parameters(text: str) -> dict[str, str]:
    texts = {}
    for match in _PARAMETER.finditer(text):
        bare = _bare(match["constant"] or match["name"] or match["field"])
        about = _BY_BARE.get(_bare(_SHORT_NAMES.get(bare, bare)))
        if about is not None:
            words = re.findall(r"""[^\[\]{}"',\s]+""", match["value"])
            texts[about.name] = ",".join(words)
    return texts


def _refusals(text: str, names: tuple[str, ...]) -> Iterator[Problem]:
    """Yield what the API refuses, whatever the plan is."""
    peer2peer = "PEER2PEER" in names
    if _TO_URI.search(text) and not peer2peer:
        yield _problem(
            "must have VIR_MIGRATE_PEER2PEER with migrateToURI: QEMU has no direct migration",
            "Add VIR_MIGRATE_PEER2PEER, or call migrate3 with a connection to the destination.",
        )
    elif _MANAGED.search(text) and peer2peer:
        yield _problem(
            "must not have VIR_MIGRATE_PEER2PEER with migrate3",
            "Call migrateToURI3 with the destination's connection URI.",
        )
    if {"NON_SHARED_DISK", "NON_SHARED_INC"} <= {*names}:
        yield _problem(
            "must have one of VIR_MIGRATE_NON_SHARED_DISK and VIR_MIGRATE_NON_SHARED_INC",
            "Leave one out: DISK copies the whole disk, INC its topmost image.",
        )


def _problem(reason: str, hint: str) -> Problem:
    return Problem(FIELD, f"{FIELD} {reason}", hint, rule="flags")
