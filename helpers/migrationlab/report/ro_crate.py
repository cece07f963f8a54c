"""Export runs as a research object: an RO-Crate that others can read, cite and check.

The crate follows the profile Process Run Crate 0.5 (https://w3id.org/ro/wfrun/process/0.5), which
extends RO-Crate 1.1. Each migration is a ``CreateAction``. Its ``instrument`` is migrationlab with
the libvirt and QEMU that it used, its ``object`` has the settings, and its ``result`` is the run's
folder. The crate also has the other files of an experiment, and tables of all runs in CSV with a
dictionary of their columns. A crate appears whole or not at all.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from migrationlab.errors import StoreError, UsageError
from migrationlab.experiment.allocated import times_text
from migrationlab.experiment.folder import BEGUN, MANIFEST, write_manifest, write_starts
from migrationlab.report.tables import (
    concerns,
    dictionary,
    mark,
    plan_text,
    runs_table,
    settings_of_guest,
    to_csv,
)
from migrationlab.runs import store
from migrationlab.runs.atomic_write import refused
from migrationlab.runs.run import Outcome, Run, Runs

if TYPE_CHECKING:
    from rocrate.model import ContextEntity
    from rocrate.rocrate import ROCrate

    from migrationlab.experiment.results import Results

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
PROFILE_VERSION = "0.5"
#: The version of RO-Crate that this version of the profile extends.
CRATE_VERSION = "1.1"

README = "README.md"
RUNS_TABLE = "runs.csv"
#: The files of an experiment beside its runs.
OWN_FILES = {
    MANIFEST: "the experiment as migrationlab reads it: design, seed, schedule",
    BEGUN: "a line for each planned run that was begun",
}
SUMMARY_TABLE = "summary.csv"
DICTIONARY = "data-dictionary.csv"
DESIGN = "experiment.toml"

_HOMES = {"libvirt": "https://libvirt.org/", "QEMU": "https://www.qemu.org/"}


def export(
    recorded: Results | Iterable[Run],
    path: str | Path,
    *,
    license: str | None = None,  # noqa: A002 (the usual word, also in RO-Crate)
    author: str | None = None,
) -> Path:
    """Write runs, or an experiment with all of its runs, as an RO-Crate.

    Args:
        recorded: The experiment, or some runs.
        path: A folder that does not exist yet, or such a file if the name ends in ``.zip``.
        license: The address of the licence under which others may use the data, for example
            "https://creativecommons.org/licenses/by/4.0/". Without one, the crate says that no
            licence was given.
        author: The author of the measurements.

    Returns:
        The folder, or the file.

    Raises:
        UsageError: ``license`` is not an address.
        StoreError: There are no runs, ``path`` exists, a run cannot be read, or the disk refused.
            No part of the crate is left.
    """
    place = Path(path)
    known: Runs | Results
    if isinstance(recorded, Iterable) and not isinstance(recorded, Runs):
        known = Runs(recorded)
    else:  # Runs stay as they are: they list the unreadable ones, too
        known = recorded
    runs = known if isinstance(known, Runs) else known.runs
    if license is not None and not urlsplit(license).scheme.startswith("http"):
        raise UsageError(
            f"license must be an address (got {license!r})",
            hint="Give an address such as https://creativecommons.org/licenses/by/4.0/",
        )
    if not runs:
        raise StoreError(
            "an export must have at least one run (got none)",
            hint="Record some runs: migrationlab demo",
        )
    if place.exists():
        raise StoreError(f"{place} exists already", hint="Delete it, or choose another name.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as made:
            folder = Path(made, "crate")
            _fill(folder, known, runs)
            _describe(folder, known, runs, license, author)
            if place.suffix == ".zip":
                Path(shutil.make_archive(str(Path(made, "crate")), "zip", folder)).rename(place)
            else:
                folder.rename(place)
    except OSError as error:
        raise refused(f"{place} could not be written", error) from error
    return place


# --- the files ----------------------------------------------------------------------------------


def _fill(folder: Path, recorded: Runs | Results, runs: Runs) -> None:
    for run in runs:
        store.save_run(run, folder / "runs")
    tables = {RUNS_TABLE: runs_table(recorded)}
    if not isinstance(recorded, Runs):
        (folder / DESIGN).write_text(recorded.toml(), encoding="utf-8")
        # With these, migrationlab can load the experiment from the crate.
        # They are written anew: what was not understood here is not published.
        write_manifest(folder, recorded.manifest)
        write_starts(folder, recorded.starts)
        tables[SUMMARY_TABLE] = recorded.summary(mixed=True)
    for name, table in tables.items():
        (folder / name).write_text(to_csv(table), encoding="utf-8")
    (folder / DICTIONARY).write_text(to_csv(dictionary(tables)), encoding="utf-8")
    (folder / README).write_text(_readme(recorded, runs), encoding="utf-8")


def _readme(recorded: Runs | Results, runs: Runs) -> str:
    lines = [f"# {_title(recorded)}", "", _abstract(recorded, runs), ""]
    lines += ["| file | what it is |", "|---|---|"]
    lines += [f"| `{name}` | {what} |" for name, what, _ in _files(recorded)]
    lines += [
        "| `runs/` | a folder per run: `run.json` has its facts, Parquet files what was recorded |",
        "| `ro-crate-metadata.json` | the same for programs (RO-Crate, Process Run Crate) |",
        "",
        "Units stand in the names of columns. An empty field is a value that is not known. A text",
        "that begins with = + - @ has an apostrophe before it, so that no spreadsheet runs it. Any",
        "program can read these files. `migrationlab report runs` makes a page of them, and",
        "`migrationlab.load_runs('runs')` reads them in Python.",
    ]
    if not isinstance(recorded, Runs):
        lines += ["", f"To repeat it: `migrationlab experiment {DESIGN}`."]
    if found := concerns(recorded):
        lines += ["", "## Warnings about these figures", ""]
        lines += [f"- {concern}" for concern in found]
    return "\n".join(lines) + "\n"


def _files(recorded: Runs | Results) -> Iterator[tuple[str, str, str]]:
    """Yield the files beside the runs: name, description, media type."""
    yield RUNS_TABLE, "a row per run: its main numbers and its facts", "text/csv"
    if not isinstance(recorded, Runs):
        yield SUMMARY_TABLE, "a row per cell and metric: median and 95 % interval", "text/csv"
        yield DESIGN, "the design: what is compared, how often, in which order", "application/toml"
        for name, what in OWN_FILES.items():
            yield name, what, "application/json"
    yield (
        DICTIONARY,
        "meaning and unit of each column of these tables and of the runs' Parquet files",
        "text/csv",
    )


def _title(recorded: Runs | Results) -> str:
    return "Live migrations" if isinstance(recorded, Runs) else recorded.question


def _abstract(recorded: Runs | Results, runs: Runs) -> str:
    first, last = runs[0].created[:10], runs[-1].created[:10]
    when = f"on {first}" if first == last else f"from {first} to {last}"
    what = "run" if len(runs) == 1 else "runs"
    text = f"{len(runs)} {what} of libvirt live migration, recorded {when} by migrationlab."
    if isinstance(recorded, Runs):
        return text
    return (
        f"{text} An experiment of {len(recorded.cells)} cells, each "
        f"planned {times_text(recorded)}: {len(recorded.measured)} of {len(recorded.planned)} "
        "are done. Warm-ups and stopped runs are not counted."
    )


# --- their description --------------------------------------------------------------------------


def _describe(
    folder: Path, recorded: Runs | Results, runs: Runs, licence: str | None, author: str | None
) -> None:
    # Slow to import, and only an export needs it.
    from rocrate.model import Person  # noqa: PLC0415
    from rocrate.rocrate import ROCrate  # noqa: PLC0415

    crate = ROCrate(version=CRATE_VERSION)
    crate.name = _title(recorded)
    crate.description = _abstract(recorded, runs)
    crate.license = _licence(crate, licence)
    profile = {"@type": "CreativeWork", "name": "Process Run Crate", "version": PROFILE_VERSION}
    crate.root_dataset["conformsTo"] = _entity(crate, PROFILE, profile)
    agent = None
    if author is not None:
        agent = crate.add(Person(crate, "#author", properties={"name": author}))
        crate.root_dataset["author"] = agent
    sources = [(README, "the contents of this crate", "text/markdown"), *_files(recorded)]
    files = {
        name: crate.add_file(
            dest_path=name,
            properties={
                "name": name,
                "description": what,
                "encodingFormat": media,
                "contentSize": str((folder / name).stat().st_size),
            },
        )
        for name, what, media in sources
    }
    software: dict[str, ContextEntity] = {}
    actions = []
    for run in runs:
        marked = mark(run)
        result = crate.add_dataset(
            dest_path=f"runs/{run.run_id}",
            properties={
                "name": f"run {run.run_id}" + (f" ({marked})" if marked else ""),
                "description": "the record of one migration: run.json, and Parquet files",
                "dateCreated": run.created,
            },
        )
        action = _action(crate, run, _instruments(crate, run, software))
        action["object"] = [*_settings(crate, run), *([files[DESIGN]] if DESIGN in files else [])]
        action["result"] = result
        if agent is not None:
            action["agent"] = agent
        actions.append(action)
    crate.root_dataset["mentions"] = actions
    crate.metadata.write(folder)


def _licence(crate: ROCrate, address: str | None) -> ContextEntity:
    name, description = "No licence given", "Ask those who made the data before you reuse them."
    if address is not None:
        name = description = f"Licence at {address}"
    properties = {"@type": "CreativeWork", "name": name, "description": description}
    return _entity(crate, address or "#licence", properties)


def _instruments(crate: ROCrate, run: Run, known: dict[str, ContextEntity]) -> list[ContextEntity]:
    """Return the programs that made a run. The crate describes every version once."""
    used: set[tuple[str, str | None]] = {("migrationlab", run.migrationlab_version)}
    for host in (run.source, run.destination):
        used |= {("libvirt", host.get("libvirt_version")), ("QEMU", host.get("qemu_version"))}
    found = []
    for name, number in sorted((name, str(number)) for name, number in used if number):
        identity = f"#{name}-{number}"
        if identity not in known:
            properties = {"@type": "SoftwareApplication", "name": name, "softwareVersion": number}
            if name in _HOMES:
                properties["url"] = _HOMES[name]
            known[identity] = _entity(crate, identity, properties)
        found.append(known[identity])
    return found


def _settings(crate: ROCrate, run: Run) -> Iterator[ContextEntity]:
    """Yield the settings of a run. The crate describes every value once."""
    groups = {
        "plan": {"mode": str(run.plan.mode)} | run.plan.changed(),
        "guest": settings_of_guest(run),
        # The measured rate is not a setting.
        "wire": {key: value for key, value in (run.wire or {}).items() if key != "measured_mbit_s"},
    }
    for group, values in groups.items():
        for key, value in values.items():
            if value is None:
                continue
            text = value if isinstance(value, str) else json.dumps(value)
            identity = f"#{group}/{key}={quote(text)}"
            properties = {"@type": "PropertyValue", "name": f"{group}.{key}", "value": text}
            yield crate.get(identity) or _entity(crate, identity, properties)


def _action(crate: ROCrate, run: Run, instruments: list[ContextEntity]) -> ContextEntity:
    done = run.outcome is Outcome.COMPLETED
    way = f"{run.source['name']} to {run.destination['name']}"
    properties: dict[str, object] = {
        "@type": "CreateAction",
        "name": f"{str(run.plan.mode).capitalize()} migration from {way}",
        "description": "; ".join(
            filter(None, [mark(run), f"outcome {run.outcome}", f"plan {plan_text(run)}"])
        ),
        "startTime": _stamp(run.called_ns),
        "endTime": _stamp(run.returned_ns),
        "actionStatus": {
            "@id": f"http://schema.org/{'Completed' if done else 'Failed'}ActionStatus"
        },
    }
    if not done and run.error is not None:
        properties["error"] = run.error.text
    action = _entity(crate, f"#migration-{run.run_id}", properties)
    action["instrument"] = instruments
    return action


def _entity(crate: ROCrate, identity: str, properties: Mapping[str, object]) -> ContextEntity:
    from rocrate.model import ContextEntity  # noqa: PLC0415 (slow to load)

    return crate.add(ContextEntity(crate, identity, properties=dict(properties)))


def _stamp(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="milliseconds")
