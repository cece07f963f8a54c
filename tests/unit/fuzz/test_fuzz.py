"""Any stored run, any TOML and any arguments: an answer or a clear error, and no traceback.

The examples are the same at each run. `make fuzz` tries others, and more of them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import tomli_w
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrationlab.cli import VERBS, main
from migrationlab.experiment.design import KEYS
from migrationlab.plan.settings import settings as plan_settings
from migrationlab.plan.virsh_reader import SWITCHES
from migrationlab.plan.virsh_reader import VALUES as VALUES_OF_VIRSH
from migrationlab.runs.manifest import sealed
from migrationlab.runs.run import Run
from migrationlab.runs.store import save_run
from paths import RECORDINGS

MORE = int(os.environ.get("MIGRATIONLAB_FUZZ", "0"))
fuzz = settings(
    max_examples=MORE or 60,
    derandomize=not MORE,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", "-x", "--", "a\0b", "\ud800", "\x1b[31mred", "$(id)", "=1+1", "$x^2$", "x" * 5000,
         "[" * 5000, "9" * 5000, "qemu+ssh://[::1/system", "qemu+ssh://h:99999/system",
         "tcp://h:x", "test:///default", "/dev/zero", "../..", "1e999", "nan"]
    ),
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70), st.sampled_from([10**4000, -1, 0, 2**63, 2**64]), st.floats()
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def call(*words: str, stdin: str | None = None) -> Result:
    """Run the command; what is not an exit is a bug, and no control character is printed."""
    result = CliRunner().invoke(main, words, input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code in (0, 1, 2, 3, 4), result.output
    assert all(sign in "\n\t" or ord(sign) >= 32 for sign in result.output), result.output
    return result


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = [at] if at else []
    if isinstance(value, (dict, list)):
        for key, inner in items:
            found += paths(inner, (*at, key)) if isinstance(inner, (dict, list)) else [(*at, key)]
    return found


@pytest.fixture(scope="module")
def stored(make_run: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two runs."""
    folder = tmp_path_factory.mktemp("stored")
    for number in (1, 2):
        save_run(make_run(number=number), folder)
    return folder


@fuzz
@given(data=st.data())
def test_any_stored_run_is_shown_or_left_out(stored: Path, data: st.DataObject) -> None:
    """A run with any changed value is shown or left out; the other one is shown."""
    bad, good = sorted(stored.iterdir())
    before = (bad / "run.json").read_bytes()
    content = json.loads(before)
    del content["sha256"]
    *parents, last = data.draw(st.sampled_from(paths(content)))
    at = content
    for key in parents:
        at = at[key]
    at[last] = data.draw(VALUES)
    try:
        text = json.dumps(content, indent=2)
    except ValueError:  # an integer of thousands of digits is no JSON that Python writes
        return
    try:
        (bad / "run.json").write_bytes(sealed(text.encode() + b"\n"))
        shown = call("runs", str(stored), "--format", "json")
        assert shown.exit_code in (0, 3), shown.stderr
        rows = json.loads(shown.stdout, parse_constant=pytest.fail)["runs"]
        ids = [each["run_id"] for each in rows]
        assert good.name in ids
        assert len(ids) == (2 if shown.exit_code == 0 else 1)
        for output in ("text", "csv"):
            assert call("runs", str(stored), "--format", output).exit_code == shown.exit_code
    finally:
        (bad / "run.json").write_bytes(before)


NAMES = [about.name for about in plan_settings()]
TABLES = st.dictionaries(
    st.sampled_from([*NAMES, "memory_mib", "dirty_mib_s", "wire_mbit_s", "images", "source", "to"]),
    VALUES.filter(lambda value: value is not None), max_size=3,
)  # fmt: skip
SPECS = st.fixed_dictionaries(
    {"question": st.just("?")},
    optional={
        key: st.one_of(TABLES, VALUES, st.lists(TABLES, max_size=2))
        for key in KEYS
        if key != "question"
    },
)


def _toml(spec: dict[str, Any]) -> bytes:
    try:
        return tomli_w.dumps(spec).encode()
    except (TypeError, ValueError):  # null, a lone surrogate, an integer of thousands of digits
        return repr(spec).encode(errors="surrogatepass")


@fuzz
@given(
    text=st.one_of(
        SPECS.map(_toml),
        st.binary(max_size=40),
        TEXTS.map(lambda text: f'question = "{text}"'.encode(errors="surrogatepass")),
    )
)
def test_any_toml_is_a_design_or_an_error(text: bytes) -> None:
    """A design of any content is shown, or refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "design.toml")
        path.write_bytes(text)
        done = call("experiment", str(path), "--dry-run", "--format", "json")
        if done.exit_code == 0:
            json.loads(done.stdout, parse_constant=pytest.fail)


def _options() -> list[str]:
    found = ["--format", "json", "text", "--from", "--to", "-o"]
    for verb in VERBS:
        command = main.get_command(click.Context(main), verb)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                found += parameter.opts
    return sorted(set(found) - {"--allow-programs"})


#: The verbs that start nothing. `doctor` tries the machine, but for two hosts.
READERS = [
    "plan", "explain", "runs", "report", "export", "experiment", "battery", "forecast", "policies",
    "gate", "calibrate",
]  # fmt: skip
#: Those that start something without it.
DRY = ("experiment", "battery")


@fuzz
@given(
    verb=st.sampled_from(READERS),
    words=st.lists(st.one_of(st.sampled_from(_options()), TEXTS), max_size=4),
)
def test_any_arguments_give_an_answer_or_an_error(
    verb: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any arguments of a verb that starts nothing give an answer or an error."""
    monkeypatch.chdir(tmp_path)
    call(verb, *words, *(["--dry-run"] if verb in DRY else []))


#: What is no number of a migration, and can stand where one is read.
NO_NUMBERS = st.sampled_from(
    ["9" * 400, "9" * 5000, "0" * 400, "0x" + "f" * 300, "-1", "1e400", "NaN", "Infinity", "\u0663",
     "\uff11", "1_0", "", "x", "null", "[]", "\0"]
)  # fmt: skip
REPORTS = {
    path.name: text
    for path in sorted((RECORDINGS / "job_reports").iterdir())
    if re.search(r"\d", text := path.read_text())
}


@fuzz
@given(name=st.sampled_from(sorted(REPORTS)), data=st.data())
def test_any_number_in_a_report_gives_an_answer(name: str, data: st.DataObject) -> None:
    """What another program printed of a migration is explained, or is no such report."""
    text = REPORTS[name]
    place = data.draw(st.sampled_from(list(re.finditer(r"\d+(?:\.\d+)?", text))))
    changed = text[: place.start()] + data.draw(NO_NUMBERS) + text[place.end() :]
    done = call("explain", "-", "--format", "json", stdin=changed)
    json.loads(done.stdout, parse_constant=pytest.fail)


@fuzz
@given(
    option=st.sampled_from(sorted(VALUES_OF_VIRSH | SWITCHES)), value=st.one_of(NO_NUMBERS, TEXTS)
)
def test_any_virsh_line_is_read_or_refused(option: str, value: str) -> None:
    """A line from anywhere is judged, also with values that virsh itself would refuse."""
    line = shlex.join(["virsh", "migrate", "g", "qemu+ssh://h/system", option, value])
    call("plan", f"--virsh={line}", "--format", "json")
