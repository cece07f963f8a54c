"""Explanations: real messages of several releases are known, and other texts are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.errors import UsageError
from migrationlab.explain.explanation import Explanation, Log, NoticedBy, causes, explain
from migrationlab.explain.matching import FOLDER, TOPICS, load

HERE = Path(__file__).parent
MESSAGES: list[dict[str, Any]] = yaml.safe_load((HERE / "messages.yaml").read_text("utf-8"))
CASES: list[dict[str, Any]] = [
    case
    for name in ("cases.yaml", "reported.yaml")
    for case in yaml.load((HERE / name).read_text("utf-8"), yaml.CSafeLoader)
]
STRANGERS: list[str] = yaml.safe_load((HERE / "strangers.yaml").read_text("utf-8"))
#: The ids that the faults of the lab and the rules of a plan use.
PROMISED_IDS = {
    "cache-mode-unsafe", "cancel-in-postcopy", "cancelled", "certificate-expired",
    "certificate-missing", "certificate-unknown-authority", "certificate-wrong-name",
    "cpu-model-missing", "destination-qemu-died", "direct-unsupported", "disk-not-shared",
    "host-key-unknown", "host-lost", "migration-uri-host-missing", "migration-uri-scheme-missing",
    "migration-uri-scheme-unsupported", "migration-uri-unparsable", "name-resolves-to-localhost",
    "name-unresolvable", "parameter-type", "port-closed", "same-host", "same-host-uuid",
    "tunnelled-migration-uri", "tunnelled-needs-peer2peer", "userfaultfd-refused",
}  # fmt: skip
UNKNOWN = (False, "unknown", None)
CLOSED = "unable to connect to server at 'host-b:49152': No route to host"


@pytest.mark.parametrize("topic", TOPICS)
def test_message_is_explained(topic: str) -> None:
    """A message that libvirt or QEMU has in some release gets its cause, and who noticed it."""
    ids = {cause.id for cause in load(FOLDER / f"{topic}.toml")}
    messages = [message for message in MESSAGES if message["id"] in ids]
    assert messages or topic in ("layers", "proxmox", "releases")
    expected = [(m["text"], True, m["id"], m["by"]) for m in messages]
    found = [explain(message["text"], code=message["code"]) for message in messages]
    answers = [(each.text, each.known, each.id, each.noticed_by) for each in found]
    misses = [pair for pair in zip(expected, answers, strict=True) if pair[0] != pair[1]]
    assert misses == []
    assert all(each.cause and each.fix for each in found)


@pytest.mark.parametrize("topic", TOPICS)
def test_message_is_known_by_its_words(topic: str) -> None:
    """The code is not needed, except where the text is in another language.

    Where other software has the same words, the name of the program decides.
    """
    causes = load(FOLDER / f"{topic}.toml")
    ids, common = {cause.id for cause in causes}, {cause.id for cause in causes if cause.common}
    misses = []
    for message in MESSAGES:
        if message["id"] in ids:
            found = explain(message["text"])
            if not found.known and message["id"] in common:
                found = explain(f"virsh: {message['text']}")
            expected = "unknown" if "another language" in message["from"] else message["id"]
            if found.id != expected:
                misses.append((message["text"], expected, found.id))
    assert misses == []


def test_similar_text_is_unknown() -> None:
    """A text that is no message about a migration is unknown, and the answer names the logs."""
    found = [explain(text) for text in STRANGERS]
    assert len(found) > 50
    known = [each for each in found if (each.known, each.id, each.noticed_by) != UNKNOWN]
    assert known == []
    logs = {Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON, Log.DESTINATION_QEMU}
    for each in found:
        assert "does not have this message" in each.cause
        assert set(each.logs) == logs
        assert "/var/log/libvirt/qemu" in each.log


def test_every_cause_has_a_message() -> None:
    """Each cause has a message that was seen, and each message has a cause."""
    seen = {message["id"] for message in MESSAGES} | {case["id"] for case in CASES}
    assert seen - {"unknown"} == {cause.id for cause in causes()}
    assert {cause.id for cause in causes()} >= PROMISED_IDS
    assert len({cause.id for cause in causes()}) > 150


def test_messages_are_of_many_releases() -> None:
    """The messages are of libvirt 9, 10 and 11 and of QEMU 7 and 10, and of 2011."""
    seen = " ".join(message["from"] for message in MESSAGES)
    for release in ("libvirt 9.0", "10.0", "11.3", "QEMU 7.2", "10.2", "2011"):
        assert release in seen


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (42, "domain-not-found"),
        (78, "cancelled"),
        (81, "migration-unsafe"),
        (91, "cpu-model-missing"),
    ],
)
def test_code_alone_can_name_the_cause(code: int, cause: str) -> None:
    """libvirt's code explains a text in another language."""
    assert explain("etwas in einer anderen Sprache", code=code).id == cause


def test_words_win_over_the_code() -> None:
    """Where the text says more than the code, the text decides."""
    text = "Unsafe migration: Migration without shared storage is unsafe"
    assert explain(text, code=81).id == "disk-not-shared"


def test_code_can_exclude_a_wording() -> None:
    """A wording that other errors have too does not count with a code that does not fit."""
    text = "domain is not running"
    assert explain(text, code=55).id == "domain-not-running"
    assert not explain(text, code=27 + 1000).known


def test_same_host_and_same_uuid_differ() -> None:
    """The check of the client and the check of the UUID at the destination are two causes."""
    text = "Attempt to migrate guest to the same host"
    assert explain(text).id == "same-host"
    assert explain(f"{text} 1b4e28ba-2fa1-11d2-883f-0016d3cca427").id == "same-host-uuid"


def test_mode_says_who_noticed_a_failed_connection() -> None:
    """The client or the source daemon notices it, by the mode, or as the text shows."""
    text = "Cannot recv data: Host key verification failed.: Connection reset by peer"
    assert explain(text).noticed_by is NoticedBy.SOURCE_DAEMON
    assert explain(text, opened_by=NoticedBy.CLIENT).noticed_by is NoticedBy.CLIENT
    virsh = f"error: failed to connect to the hypervisor\nerror: {text}"
    assert explain(virsh).noticed_by is NoticedBy.CLIENT
    assert explain(virsh).id == "host-key-unknown"


@pytest.mark.parametrize(
    ("text", "migrating", "opening"),
    [
        (CLOSED, "port-closed", "libvirtd-unreachable"),
        (
            "Unable to resolve address 'n' service '1234': Name or service not known",
            "name-unresolvable",
            "libvirtd-name-unresolvable",
        ),
        (
            "internal error: Unable to parse URI [::1",
            "migration-uri-unparsable",
            "connection-uri-unparsable",
        ),
    ],
)
def test_opening_a_connection_has_its_own_causes(text: str, migrating: str, opening: str) -> None:
    """A name, a port or a URI is QEMU's in a migration, and libvirtd's at a connection."""
    assert explain(text).id == migrating
    assert explain(text, opening=True).id == opening


@pytest.mark.parametrize(
    "text",
    [
        CLOSED.upper(),
        CLOSED.replace("'", '"'),
        CLOSED.replace("'", "’"),
        f"\x1b[31merror: {CLOSED}\x1b[0m",
        CLOSED.replace(" ", "   "),
        CLOSED.replace("server at", "server\n   at"),
        f"error: {CLOSED}\r\n",
        f"libvirt: XML-RPC error : {CLOSED}",
        f"migrationlab: {CLOSED}",
    ],
)
def test_case_quotes_and_prefixes_do_not_matter(text: str) -> None:
    """Case, quotation marks, colours, blanks and prefixes change nothing."""
    assert explain(text).id == "port-closed"


def test_debug_lines_of_a_log_are_ignored() -> None:
    """A debug line is no message. The error after it is, and its function shows the side."""
    line = "2026-11-22 18:36:15.123+0000: 42: {} : qemuMigrationDstPrepareDirect:39 : {}"
    text = "\n".join(
        [
            line.format("debug", "job 'migration out' canceled by client"),
            line.format("error", "invalid argument: missing scheme in migration URI: x"),
        ]
    )
    found = explain(text)
    assert (found.id, found.noticed_by) == (
        "migration-uri-scheme-missing",
        NoticedBy.DESTINATION_DAEMON,
    )


def test_long_log_is_read_whole() -> None:
    """Every line of a log counts, however long it is, and the answer says which one it is."""
    filler = "2026-11-22 18:36:15.123+0000: 42: warning : x:1 : nothing of interest\n" * 5000
    assert explain(filler + CLOSED).line == 5001
    found = explain(CLOSED + "\n" + filler)
    assert (found.id, found.line, found.quote) == ("port-closed", 1, CLOSED)


def test_text_that_is_too_long_is_refused() -> None:
    """A text of more than 16 MiB is refused before it is read."""
    with pytest.raises(UsageError, match="text must be at most") as caught:
        explain("x" * (16 * 1024 * 1024 + 1))
    assert "tail" in caught.value.hint


def test_reason_wins_over_its_consequence() -> None:
    """Where one message contains others, the one that names the reason is explained."""
    text = (
        "operation failed: migration failed. Message from the source host: operation failed: job "
        "'migration out' failed: {}. Message from the destination host: operation failed: job "
        "'migration in' failed: load of migration failed: Invalid argument"
    )
    assert explain(text.format("Certificate does not match the hostname b")).id == (
        "certificate-wrong-name"
    )
    assert explain(text.format("something new")).id == "destination-qemu-died"


def test_unknown_message_names_its_origin() -> None:
    """Where libvirt's domain is known, an unknown message has it."""
    assert "QEMU driver" in explain("new in 13.0", code=1, domain=10).cause
    assert explain("new in 13.0", domain=999).cause == explain("new in 13.0").cause


@given(text=st.text(), code=st.none() | st.integers(), domain=st.none() | st.integers())
def test_any_text_has_an_explanation(text: str, code: int | None, domain: int | None) -> None:
    """Every text has an explanation with all fields, also as JSON."""
    found = explain(text, code=code, domain=domain)
    assert found.text == text
    assert found.cause
    assert found.fix
    assert found.known == (found.id != "unknown")
    answer = json.loads(json.dumps(found.to_dict()))
    assert set(answer) == {
        *("known", "id", "kind", "cause", "noticed_by", "mend", "versions", "log"),
        *("line", "quote", "others", "candidates", "text"),
    }
    assert answer["known"] in (True, False, "partly")
    assert "\n" not in repr(found)


@given(
    message=st.sampled_from([m for m in MESSAGES if "\n" not in m["text"]]),
    before=st.lists(st.text(alphabet="xyz 0123456789", max_size=40), max_size=3),
    after=st.lists(st.text(alphabet="xyz 0123456789", max_size=40), max_size=3),
)
def test_lines_around_a_message_change_nothing(
    message: dict[str, Any], before: list[str], after: list[str]
) -> None:
    """A message is found among other lines."""
    text = "\n".join([*before, message["text"], *after])
    assert explain(text, code=message["code"]).id == message["id"]


def test_explanation_has_repr_text_and_html() -> None:
    """It has a short repr, a text that fits a terminal, and safe HTML."""
    found = explain(CLOSED)
    assert repr(found) == "Explanation('port-closed', noticed_by='source daemon')"
    assert repr(explain("x")) == "Explanation('unknown')"
    lines = str(found).splitlines()
    assert lines[0] == "port-closed"
    assert lines[1] == "noticed by  source daemon"
    assert max(map(len, lines)) <= 96
    assert f"more in     {found.logs[0]}" in str(found)
    odd = Explanation(known=True, id="x", cause="<b>&", noticed_by=None, fix="<script>", text="<i>")
    assert "&lt;b&gt;&amp;" in odd._repr_html_()
    assert "<script>" not in odd._repr_html_()
    assert odd.log == ""
    assert "more in" not in str(odd)
