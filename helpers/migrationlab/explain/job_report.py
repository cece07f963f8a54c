"""Read what a program reports of a migration's progress: the figures, in one set of units.

Theory of operation. Each program has its own names and units for the same figures: virsh prints
binary units (MiB) and pages a second, QEMU's monitor bytes, kbytes of 1024 bytes and megabits of
10^6 bits, Proxmox rounded MiB and GiB. Each form is recognised by its shape, and read into a
:class:`JobReport`, in MiB, MiB/s and ms. A text with an error in it is no report: then the error
is what counts.

Sources: libvirt's ``tools/virsh-domain.c`` (cmdDomjobinfo, virshPrintJobProgress) and
``include/libvirt/libvirt-domain.h`` (VIR_DOMAIN_JOB_*); QEMU's ``qapi/migration.json``
(MigrationInfo, MigrationRAMStats) and ``migration/migration-hmp-cmds.c``; Proxmox's
``src/PVE/QemuMigrate.pm`` (phase2). ``tests/recordings/job_reports`` has what they print.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from migrationlab.explain.job_figures import MIB, UNITS, JobReport, to_mib

#: QEMU's target page where a report does not say it (x86, and aarch64 with its usual pages).
PAGE_BYTES = 4096
#: A longer text is a log.
LONGEST_REPORT = 256 * 1024
_AMOUNT = r"(\d+(?:[.,]\d+)?) ?([KMGT]?i?B)"
_ERROR = re.compile(r"\berrors?\b|\bfailed\b|\baborting\b|cancell?ed by", re.IGNORECASE)


def read_job_report(text: str) -> JobReport | None:
    """Return the report of a pasted text; None if it is none, or if it has an error.

    Args:
        text: What ``virsh domjobinfo`` (also ``--completed``, ``--rawstats``), ``virsh migrate
            --verbose``, a Proxmox task, QMP's ``query-migrate``, HMP's ``info migrate`` or
            libvirt-python's ``jobStats()`` printed. Of several reports the last one counts.
    """
    if len(text) > LONGEST_REPORT:
        return None
    readers = (_structured,) if _ERROR.search(text) else _READERS
    try:
        return next((found for read in readers if (found := read(text)) is not None), None)
    except (OverflowError, ValueError):  # a number of hundreds of digits
        return None


# virsh domjobinfo

_JOB_TYPE = re.compile(r"^[ \t]*Job type: +(\w+(?: \w+)?) *$", re.MULTILINE)
_FIELD = re.compile(
    r"^[ \t]*(?P<name>[A-Z][A-Za-z/ ]+): +(?P<amount>\d+(?:[.,]\d+)?) *(?P<unit>[A-Za-z/%]*) *$",
    re.MULTILINE,
)
_OPERATION = re.compile(r"^[ \t]*Operation: +(\w+(?: \w+)*) *$", re.MULTILINE)
_VIRSH_STATES = {"bounded": "active", "unbounded": "active", "completed": "completed",
                 "none": "none", "failed": "failed", "cancelled": "cancelled"}  # fmt: skip


def _domjobinfo(text: str) -> JobReport | None:
    starts = [match.start() for match in _JOB_TYPE.finditer(text)]
    if not starts:
        return None
    block = text[starts[-1] :]
    kind = _JOB_TYPE.search(block)
    assert kind is not None, "the block begins with it"
    state = _VIRSH_STATES.get(kind[1].lower())
    if state is None:
        return None
    operation = _OPERATION.search(block)
    fields = {match["name"].lower(): match for match in _FIELD.finditer(block)}

    def number(name: str) -> float | None:
        found = fields.get(name)
        return float(found["amount"].replace(",", ".")) if found else None

    def amount(name: str) -> float | None:
        found = fields.get(name)
        unit = found["unit"].removesuffix("/s").lower() if found else ""
        return to_mib(found["amount"], unit) if found and unit in UNITS else None

    return _libvirt_report(
        "virsh domjobinfo",
        state,
        operation[1] if operation else "",
        {
            "elapsed_ms": number("time elapsed"),
            "bandwidth_mib_s": amount("memory bandwidth"),
            "dirty_pages_s": number("dirty rate"),
            "page_bytes": number("page size"),
            "iteration": number("iteration"),
            "remaining_mib": amount("memory remaining"),
            "total_mib": amount("memory total"),
            "processed_mib": amount("memory processed"),
            "expected_downtime_ms": number("expected downtime"),
            "downtime_ms": number("total downtime"),
            "throttle_percent": number("auto converge throttle"),
            "disk_remaining_mib": amount("file remaining"),
            "postcopy_requests": number("postcopy requests"),
        },
    )


def _libvirt_report(
    form: str, state: str, operation: str, values: dict[str, float | None]
) -> JobReport:
    pages, page, iteration = (
        values.pop(name) for name in ("dirty_pages_s", "page_bytes", "iteration")
    )
    if values.pop("postcopy_requests", None) and state == "active":
        state = "postcopy"
    # In the first iteration, and of a completed job, libvirt has no rate and says 0.
    measured = pages if iteration is None or iteration > 1 else None
    if state == "completed":
        measured = None
    dirty = None if measured is None else measured * (page or PAGE_BYTES) / MIB
    return JobReport(
        form=form,
        state=state,
        operation="" if "migration" in operation.lower() else operation,
        dirty_mib_s=dirty,
        page_size_known=bool(page),
        iteration=None if iteration is None else int(iteration),
        **values,  # type: ignore[arg-type]  # floats by the names of fields
    )


# libvirt's own names and numbers (virDomainJobType): --rawstats, and libvirt-python's jobStats()

_RAW = re.compile(r"^[ \t]*([a-z_]+): +(\d+) *$", re.MULTILINE)
_RAW_TYPE = re.compile(r"^[ \t]*Job type: +(\d) *$", re.MULTILINE)
_TYPES = {0: "none", 1: "active", 2: "active", 3: "completed", 4: "failed", 5: "cancelled"}
_OPERATIONS = {0: "", 4: "Incoming migration", 5: "Outgoing migration"}


def _rawstats(text: str) -> JobReport | None:
    kinds = list(_RAW_TYPE.finditer(text))
    if not kinds or "errmsg" in text:
        return None
    block = text[kinds[-1].start() :]
    values = {name: float(value) for name, value in _RAW.findall(block)}
    return _raw_report("virsh domjobinfo --rawstats", values | {"type": float(kinds[-1][1])})


def _job_stats(values: Mapping[str, Any]) -> JobReport | None:
    if "type" not in values or "errmsg" in values or not {"operation", "time_elapsed"} & {*values}:
        return None
    numbers = {
        name: float(value) for name, value in values.items() if isinstance(value, int | float)
    }
    return _raw_report("libvirt's job statistics", numbers)


def _raw_report(form: str, values: Mapping[str, float]) -> JobReport | None:
    state = _TYPES.get(int(values["type"]))
    if state is None:
        return None
    get = values.get

    def mib(name: str) -> float | None:
        value = get(name)
        return None if value is None else value / MIB

    running = state == "active"
    disk = mib("disk_remaining") if get("disk_total") else None
    return _libvirt_report(
        form,
        state,
        _OPERATIONS.get(int(get("operation", 0.0)), "another job"),
        {
            "elapsed_ms": get("time_elapsed"),
            "bandwidth_mib_s": mib("memory_bps"),
            "dirty_pages_s": get("memory_dirty_rate"),
            "page_bytes": get("memory_page_size"),
            "iteration": get("memory_iteration"),
            "remaining_mib": mib("memory_remaining"),
            "total_mib": mib("memory_total"),
            "processed_mib": mib("memory_processed"),
            "expected_downtime_ms": get("downtime") if running else None,
            "downtime_ms": None if running else get("downtime"),
            "throttle_percent": get("auto_converge_throttle"),
            "disk_remaining_mib": disk,
            "postcopy_requests": get("memory_postcopy_requests"),
        },
    )


# QEMU: QMP's query-migrate, HMP's info migrate

_QEMU_STATES = {
    "none": "none", "setup": "setup", "active": "active", "pre-switchover": "active",
    "device": "active", "completed": "completed", "cancelling": "cancelled",
    "cancelled": "cancelled", "postcopy-device": "postcopy", "postcopy-active": "postcopy",
    "postcopy-paused": "paused", "postcopy-recover": "paused", "postcopy-recover-setup": "paused",
}  # fmt: skip

#: A dictionary of names and numbers, as Python prints it.
_FLAT = re.compile(r"\{(?:'\w+': (?:\d+(?:\.\d+)?|'[^'\\]*'),?\s*)*\}")


def _structured(text: str) -> JobReport | None:
    """Return the report in a JSON object of QMP, or in a dictionary that Python printed."""
    start, end = text.find("{"), text.rfind("}")
    inside = text[start : end + 1] if 0 <= start < end else ""
    try:
        if '"ram"' in inside:
            found = json.loads(inside)
        elif "'time_elapsed'" in inside and _FLAT.fullmatch(inside):
            found = ast.literal_eval(inside)
        else:
            return None
    except (ValueError, SyntaxError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    inner = found.get("return", found)
    if isinstance(inner, dict) and isinstance(inner.get("ram"), dict) and "status" in inner:
        return _query_migrate(inner)
    return _job_stats(found)


def _query_migrate(values: Mapping[str, Any]) -> JobReport | None:
    state, ram = _QEMU_STATES.get(str(values["status"])), values["ram"]
    if state is None or values.get("error-desc"):
        return None

    def number(where: Mapping[str, Any], name: str) -> float | None:
        value = where.get(name)
        return float(value) if isinstance(value, int | float) else None

    def mib(where: Mapping[str, Any], name: str) -> float | None:
        value = number(where, name)
        return None if value is None else value / MIB

    disk = values.get("disk")
    return _qemu_report(
        "QMP query-migrate",
        state,
        number(ram, "mbps"),
        {
            "elapsed_ms": number(values, "total-time"),
            "dirty_pages_s": number(ram, "dirty-pages-rate"),
            "page_bytes": number(ram, "page-size"),
            "iteration": number(ram, "dirty-sync-count"),
            "remaining_mib": mib(ram, "remaining"),
            "total_mib": mib(ram, "total"),
            "processed_mib": mib(ram, "transferred"),
            "expected_downtime_ms": number(values, "expected-downtime"),
            "downtime_ms": number(values, "downtime"),
            "throttle_percent": number(values, "cpu-throttle-percentage"),
            "disk_remaining_mib": mib(disk, "remaining") if isinstance(disk, dict) else None,
        },
    )


def _qemu_report(
    form: str, state: str, mbit_s: float | None, values: dict[str, float | None]
) -> JobReport:
    values["bandwidth_mib_s"] = None if mbit_s is None else mbit_s * 1e6 / 8 / MIB
    return _libvirt_report(form, state, "", values)


_STATUS = re.compile(r"^[ \t]*Migration status: +([\w-]+)", re.MULTILINE)
_HMP = re.compile(r"^[ \t]*([a-z][a-z -]+): +(\d+(?:\.\d+)?)", re.MULTILINE)


def _info_migrate(text: str) -> JobReport | None:
    found = list(_STATUS.finditer(text))
    if not found:
        return None
    block = text[found[-1].start() :].replace("\r", "")
    state = _QEMU_STATES.get(found[-1][1])
    values = {name: float(value) for name, value in _HMP.findall(block)}
    if state is None or "total ram" not in values:
        return None

    def of_kib(name: str) -> float | None:
        value = values.get(name)
        return None if value is None else value / 1024

    page = values.get("page size")
    return _qemu_report(
        "QEMU's info migrate",
        state,
        values.get("throughput"),
        {
            "elapsed_ms": values.get("total time"),
            "dirty_pages_s": values.get("dirty pages rate"),
            "page_bytes": page and page * 1024,
            "iteration": values.get("dirty sync count"),
            "remaining_mib": of_kib("remaining ram"),
            "total_mib": of_kib("total ram"),
            "processed_mib": of_kib("transferred ram"),
            "expected_downtime_ms": values.get("expected downtime"),
            "downtime_ms": values.get("downtime"),
            "throttle_percent": values.get("cpu throttle percentage"),
        },
    )


#: The form since QEMU 10.1: pairs with a unit, and several on a line.
_NEW_STATUS = re.compile(r"^[ \t]*Status:[ \t]+([\w-]+)", re.MULTILINE)
_NEW_PAIR = re.compile(r"\b([a-z_]+)=(\d+(?:\.\d+)?)(?: ([KMGT]?i?B)\b)?")
_THROUGHPUT = re.compile(r"Throughput \([Mm]bps\):[ \t]+(\d+(?:\.\d+)?)")


def _new_info_migrate(text: str) -> JobReport | None:
    found = list(_NEW_STATUS.finditer(text))
    if not found or "RAM info:" not in text:
        return None
    block = text[found[-1].start() :]
    state = _QEMU_STATES.get(found[-1][1])
    pairs = _NEW_PAIR.findall(block)
    numbers = {name: float(value) for name, value, unit in pairs if not unit}
    sizes = {name: to_mib(value, unit) for name, value, unit in pairs if unit}
    rate = _THROUGHPUT.search(block)
    if state is None or "total" not in sizes:
        return None
    page = sizes.get("pagesize")
    return _qemu_report(
        "QEMU's info migrate",
        state,
        float(rate[1]) if rate else None,
        {
            "elapsed_ms": numbers.get("total"),
            "dirty_pages_s": numbers.get("dirty"),
            "page_bytes": page and page * MIB,
            "iteration": numbers.get("dirty_syncs"),
            "remaining_mib": sizes.get("remain"),
            "total_mib": sizes["total"],
            "processed_mib": sizes.get("transferred"),
            "expected_downtime_ms": numbers.get("exp_down"),
            "downtime_ms": numbers.get("down"),
        },
    )


# Proxmox's task log

_PROXMOX = re.compile(
    rf"migration (?:active|device), transferred {_AMOUNT} of {_AMOUNT} VM-state, {_AMOUNT}/s"
    rf"(?: \(\+[^)]*\))?(?:, VM dirties lots of memory: {_AMOUNT}/s)?",
)
_PROXMOX_OLD = re.compile(
    r"migration status: active \(transferred (\d+), remaining (\d+)\), total (\d+)\)"
)
_PROXMOX_END = re.compile(rf"(?:average )?migration speed: {_AMOUNT}/s - downtime (\d+) ms")
_PROXMOX_LIMIT = re.compile(
    r"(?:migration downtime limit|auto-increased downtime to continue migration): (\d+(?:\.\d+)?)"
)


def _proxmox(text: str) -> JobReport | None:
    lines, old = list(_PROXMOX.finditer(text)), list(_PROXMOX_OLD.finditer(text))
    end = _PROXMOX_END.search(text)
    if not (lines or old or end):
        return None
    limits = [float(limit) for limit in _PROXMOX_LIMIT.findall(text)]
    values: dict[str, Any] = {}
    if lines:
        sent, sent_unit, total, total_unit, speed, speed_unit, dirty, dirty_unit = lines[
            -1
        ].groups()
        values = {
            "processed_mib": to_mib(sent, sent_unit),
            "total_mib": to_mib(total, total_unit),
            "bandwidth_mib_s": to_mib(speed, speed_unit),
            "dirty_mib_s": to_mib(dirty, dirty_unit) if dirty else None,
        }
    elif old:
        sent, left, total = (int(value) / MIB for value in old[-1].groups())
        values = {"processed_mib": sent, "remaining_mib": left, "total_mib": total}
    if end:
        values |= {"bandwidth_mib_s": to_mib(end[1], end[2]), "downtime_ms": float(end[3])}
        values["dirty_mib_s"] = None
    return JobReport(
        form="Proxmox",
        state="completed" if end else "active",
        downtime_limit_ms=limits[-1] if limits else None,
        limit_raised=text.count("auto-increased downtime"),
        **values,
    )


# virsh migrate --verbose

_PERCENT = re.compile(r"Migration: ?\[ *(\d{1,3}(?:[.,]\d+)?) ?%\]")


def _progress(text: str) -> JobReport | None:
    percents = tuple(float(found.replace(",", ".")) for found in _PERCENT.findall(text))
    if not percents:
        return None
    return JobReport(form="virsh migrate --verbose", state="active", percents=percents)


_READERS: tuple[Callable[[str], JobReport | None], ...] = (
    _rawstats, _domjobinfo, _info_migrate, _new_info_migrate, _proxmox, _progress, _structured,
)  # fmt: skip
