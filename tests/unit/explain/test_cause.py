"""The schema of the cause files: what is right is read, what is wrong is refused clearly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from migrationlab.explain.cause import Cause, Log, NoticedBy
from migrationlab.explain.matching import FOLDER, TOPICS, Table, load

WHOLE = {
    "id": "port-closed",
    "noticed_by": "source daemon",
    "wordings": ["unable to connect"],
    "cause": "\nthe port\nis closed",
    "fix": "open the port",
    "seen": "virnetsocket.c",
    "logs": ["the destination QEMU's own log"],
    "codes": [38],
}


#: Where the sources of two releases were compared: which has the messages of a cause, which not.
SINCE = re.compile(r"in (?:libvirt|QEMU) (\d+\.\d+) and newer, not in (\d+\.\d+)")
#: A fix starts with an imperative verb, and not with one of these.
NO_VERBS = {
    "a",
    "an",
    "and",
    "as",
    "by",
    "for",
    "from",
    "if",
    "in",
    "it",
    "of",
    "on",
    "see",
    "the",
    "there",
    "this",
    "to",
    "with",
    "without",
}


def without(key: str) -> dict[str, object]:
    """Give a table that lacks one key."""
    return {name: value for name, value in WHOLE.items() if name != key}


def test_table_becomes_a_cause() -> None:
    """A table has all fields of a cause, and a text that is wrapped in the file is one line."""
    cause = Cause.from_table(WHOLE)
    assert cause == Cause(
        id="port-closed",
        noticed_by=NoticedBy.SOURCE_DAEMON,
        wordings=("unable to connect",),
        cause="the port is closed",
        fix="open the port",
        seen="virnetsocket.c",
        logs=(Log.DESTINATION_QEMU,),
        codes=(38,),
    )
    assert Cause.from_table(without("noticed_by")).noticed_by is None


@pytest.mark.parametrize(
    ("table", "error"),
    [
        (WHOLE | {"mend": "x"}, "unknown keys: mend"),
        (without("fix"), "missing keys: fix"),
        ({}, "missing keys: cause, fix, id, seen, wordings"),
        (WHOLE | {"noticed_by": "nobody"}, "noticed_by must be one of client, .*got 'nobody'"),
        (WHOLE | {"logs": ["syslog"]}, "logs must be one of the source .*got 'syslog'"),
        (WHOLE | {"logs": []}, "logs must be a list that is not empty"),
        (WHOLE | {"wordings": "x"}, "wordings must be a list"),
        (WHOLE | {"wordings": [""]}, "wordings must be str and not empty"),
        (WHOLE | {"codes": ["38"]}, "codes must be int and not empty .*got '38'"),
        (WHOLE | {"codes": [True]}, "codes must be int"),
        (WHOLE | {"cause": 1}, "cause must be str"),
        (WHOLE | {"fix": ""}, "fix must be str and not empty"),
        (WHOLE | {"kind": "candidates", "candidates": ["x"]}, "candidates must be two or more"),
        (WHOLE | {"candidates": ["x", "y"]}, "candidates must be two or more with kind candidates"),
    ],
)
def test_wrong_table_is_refused(table: dict[str, object], error: str) -> None:
    """What breaks the schema is named: the key, what it must be, and what it is."""
    with pytest.raises(ValueError, match=error):
        Cause.from_table(table)


def test_error_names_file_and_cause(tmp_path: Path) -> None:
    """An error of a file names the file and the cause, or what does not belong there."""
    file = tmp_path / "odd.toml"
    file.write_text('[[causes]]\nid = "odd"\n')
    with pytest.raises(ValueError, match=r"odd\.toml, cause 1 \(odd\): missing keys"):
        load(file)
    file.write_text("cause = 1\n")
    with pytest.raises(ValueError, match=r"odd\.toml must hold \[\[causes\]\] only \(got cause\)"):
        load(file)
    file.write_text("cause =")
    with pytest.raises(ValueError, match="Invalid value"):
        load(file)


def test_causes_that_contradict_each_other_are_refused() -> None:
    """Two causes of one id and side, and an id that is not there, make no table."""
    cause = Cause.from_table(WHOLE)
    with pytest.raises(ValueError, match=r"id must be unique \(got twice: port-closed\)"):
        Table([cause, cause])
    with pytest.raises(ValueError, match=r"at_opening must be the id of a cause .*'nowhere'"):
        Table([Cause.from_table(WHOLE | {"at_opening": "nowhere"})])
    assert Table([cause, Cause.from_table(without("noticed_by"))]).by_id["port-closed"] is cause


def test_every_file_is_in_the_order() -> None:
    """The order of matching names each file of the folder once."""
    assert sorted(TOPICS) == sorted(path.stem for path in FOLDER.iterdir())


@pytest.mark.parametrize("topic", TOPICS)
def test_file_is_whole(topic: str) -> None:
    """Each cause of a file has a name of small words, and texts that end like the others."""
    causes = load(FOLDER / f"{topic}.toml")
    assert causes
    odd_ids = [c.id for c in causes if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", c.id)]
    assert odd_ids == []
    odd_texts = [
        text
        for cause in causes
        for text in (cause.cause, cause.fix)
        if text.endswith((".", ";", ":", ",")) or text[0].isspace()
    ]
    assert odd_texts == []
    odd_fixes = [cause.fix for cause in causes if cause.fix.split()[0].lower() in NO_VERBS]
    assert odd_fixes == []


def test_reason_of_the_system_excludes_a_cause() -> None:
    """A cause that has reasons fits a message with one of them or none, and no other message."""
    cause = Cause.from_table(WHOLE | {"reasons": ["connection refused"]})
    behind = ("", ": connection refused", ": permission denied")
    assert [cause.allows("", "", each, None) for each in behind] == [True, True, False]


def test_versions_name_releases() -> None:
    """What is said of versions names a release; a message is first missing, then there."""
    stated = [cause.versions for topic in TOPICS for cause in load(FOLDER / f"{topic}.toml")]
    stated = [each for each in stated if each]
    assert [each for each in stated if not re.search(r"\d+\.\d+|\d{4}|\b\d+\b", each)] == []
    compared = [found for each in stated if (found := SINCE.fullmatch(each))]
    assert len(compared) > 10
    assert len(compared) == sum(each.startswith("in ") for each in stated)
    releases = [[tuple(map(int, each.split("."))) for each in found.groups()] for found in compared]
    assert [(newer, older) for newer, older in releases if newer <= older] == []
