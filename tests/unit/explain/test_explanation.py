"""Explanations: real messages of several releases, texts that are none, and the table itself."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from migrationlab.explain.cause import compiled, rarest_words, whole_words
from migrationlab.explain.explanation import Explanation, Log, NoticedBy, causes, explain

HERE = Path(__file__).parent
MESSAGES: list[dict[str, Any]] = yaml.safe_load((HERE / "messages.yaml").read_text("utf-8"))
STRANGERS: list[str] = yaml.safe_load((HERE / "strangers.yaml").read_text("utf-8"))
#: What the lab's broken cases and the plans share with the table.
PROMISED_IDS = {
    "cache-mode-unsafe", "cancel-in-postcopy", "cancelled", "certificate-expired",
    "certificate-missing", "certificate-unknown-authority", "certificate-wrong-name",
    "cpu-model-missing", "destination-qemu-died", "direct-unsupported", "disk-not-shared",
    "host-key-unknown", "host-lost", "migration-uri-host-missing", "migration-uri-scheme-missing",
    "migration-uri-scheme-unsupported", "migration-uri-unparsable", "name-resolves-to-localhost",
    "name-unresolvable", "parameter-type", "port-closed", "same-host", "same-host-uuid",
    "tunnelled-migration-uri", "tunnelled-needs-peer2peer", "userfaultfd-refused",
}  # fmt: skip
CLOSED = "unable to connect to server at 'host-b:49152': No route to host"


def named(message: dict[str, Any]) -> str:
    """Give a message a short name for a test's id."""
    return f"{message['id']}-{message['text'][:40]}"


@pytest.mark.parametrize("message", MESSAGES, ids=named)
def test_a_message_is_explained(message: dict[str, Any]) -> None:
    """A message that libvirt or QEMU has in some release gets its cause, and who noticed it."""
    found = explain(message["text"], code=message["code"])
    assert (found.known, found.id, found.noticed_by) == (True, message["id"], message["by"])
    assert found.text == message["text"]
    assert found.cause
    assert found.mend


@pytest.mark.parametrize("message", MESSAGES, ids=named)
def test_a_message_is_known_by_its_words(message: dict[str, Any]) -> None:
    """The number is not needed, except where the text is in another language."""
    found = explain(message["text"])
    if "another language" in message["from"]:
        assert not found.known
    else:
        assert found.id == message["id"]


@pytest.mark.parametrize("text", STRANGERS, ids=lambda text: repr(text[:40]))
def test_what_merely_looks_alike_is_unknown(text: str) -> None:
    """A text that is no message about a migration is unknown, says so, and points to the logs."""
    found = explain(text)
    assert (found.known, found.id, found.noticed_by) == (False, "unknown", None)
    assert "does not have this message" in found.cause
    assert {Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON, Log.DESTINATION_QEMU} == set(found.logs)
    assert "/var/log/libvirt/qemu" in found.log


def test_every_cause_has_a_message() -> None:
    """No cause is in the table without a message that was seen, and none of them is missing."""
    assert {message["id"] for message in MESSAGES} == {cause.id for cause in causes()}
    assert {cause.id for cause in causes()} >= PROMISED_IDS
    assert len({cause.id for cause in causes()}) > 150


def test_releases_differ_in_their_words() -> None:
    """The messages are of libvirt 9, 10 and 11 and of QEMU 7 and 10, and of 2011."""
    seen = " ".join(message["from"] for message in MESSAGES)
    for release in ("libvirt 9.0", "10.0", "11.3", "QEMU 7.2", "10.2", "2011"):
        assert release in seen


def test_the_table_is_whole() -> None:
    """Each cause has a stable name, prose that ends like the others', and where it is seen."""
    for cause in causes():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", cause.id)
        assert cause.seen
        for prose in (cause.cause, cause.mend):
            assert prose == prose.strip()
            assert not prose.endswith(".")
        if cause.at_opening:
            assert cause.at_opening in {other.id for other in causes()}


def test_every_wording_can_be_found() -> None:
    """Each wording is there once, has a word to be looked up by, and no stray placeholder."""
    wordings = [wording for cause in causes() for wording in cause.wordings]
    assert [wording for wording, count in Counter(wordings).items() if count > 1] == []
    for wording in wordings:
        assert whole_words(wording), wording
        assert "{" not in re.sub(r"\{(|n|word|quoted)\}", "", wording), wording
    index = rarest_words(tuple(wordings))
    assert sorted(number for numbers in index.values() for number in numbers) == list(
        range(len(wordings))
    )


def test_a_code_alone_means_one_cause() -> None:
    """No two causes claim that libvirt's number says enough for them."""
    claims = Counter(code for cause in causes() for code in cause.alone)
    assert [code for code, count in claims.items() if count > 1] == []
    # VIR_ERR_INTERNAL_ERROR, INVALID_ARG, OPERATION_FAILED, SYSTEM_ERROR, OPERATION_INVALID.
    assert not {1, 8, 9, 38, 55} & set(claims)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (42, "domain-not-found"),
        (78, "cancelled"),
        (81, "migration-unsafe"),
        (91, "cpu-model-missing"),
    ],
)
def test_a_code_is_enough_where_it_says_so_much(code: int, cause: str) -> None:
    """A text in another language is explained by libvirt's number."""
    assert explain("etwas in einer anderen Sprache", code=code).id == cause


def test_words_go_before_the_code() -> None:
    """Where the text says more than its number, it decides."""
    text = "Unsafe migration: Migration without shared storage is unsafe"
    assert explain(text, code=81).id == "disk-not-shared"


def test_a_code_can_speak_against_words() -> None:
    """Words that other errors have too are not believed with a number that doesn't fit."""
    text = "domain is not running"
    assert explain(text, code=55).id == "domain-not-running"
    assert not explain(text, code=27 + 1000).known


def test_the_same_host_is_told_apart() -> None:
    """The client's own check and the destination's look at the UUID are two causes."""
    text = "Attempt to migrate guest to the same host"
    assert explain(text).id == "same-host"
    assert explain(f"{text} 1b4e28ba-2fa1-11d2-883f-0016d3cca427").id == "same-host-uuid"


def test_who_dialled() -> None:
    """Who noticed a connection that failed depends on the mode, and is read where it shows."""
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
def test_opening_a_connection_is_another_matter(text: str, migrating: str, opening: str) -> None:
    """A name, a port or a URI is QEMU's in a migration, and libvirtd's where one connects."""
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
def test_looks_do_not_matter(text: str) -> None:
    """Letters' case, quotation marks, colours, blanks and prefixes change nothing."""
    assert explain(text).id == "port-closed"


def test_a_logs_chatter_is_left_out() -> None:
    """What a log has as debug is no message; the error after it is, with the side it shows."""
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


def test_a_long_log_is_read_from_its_end() -> None:
    """However long a log is, its last lines are looked at."""
    filler = "2026-11-22 18:36:15.123+0000: 42: warning : x:1 : nothing of interest\n" * 5000
    assert explain(filler + CLOSED).id == "port-closed"
    assert not explain(CLOSED + "\n" + filler).known


def test_the_reason_wins_over_its_consequence() -> None:
    """Of messages one upon the other, the one that names the reason is explained."""
    text = (
        "operation failed: migration failed. Message from the source host: operation failed: job "
        "'migration out' failed: {}. Message from the destination host: operation failed: job "
        "'migration in' failed: load of migration failed: Invalid argument"
    )
    assert explain(text.format("Certificate does not match the hostname b")).id == (
        "certificate-wrong-name"
    )
    assert explain(text.format("something new")).id == "destination-qemu-died"


def test_an_unknown_message_says_whose_it_is() -> None:
    """Where libvirt's domain is known, an unknown message is told with it."""
    assert "QEMU driver" in explain("new in 13.0", code=1, domain=10).cause
    assert explain("new in 13.0", domain=999).cause == explain("new in 13.0").cause


@given(text=st.text(), code=st.none() | st.integers(), domain=st.none() | st.integers())
def test_any_text_has_an_answer(text: str, code: int | None, domain: int | None) -> None:
    """Whatever is given, there is an explanation with all that it promises, as JSON too."""
    found = explain(text, code=code, domain=domain)
    assert found.text == text
    assert found.cause
    assert found.mend
    assert found.known == (found.id != "unknown")
    told = json.loads(json.dumps(found.to_dict()))
    assert set(told) == {"known", "id", "cause", "noticed_by", "mend", "log", "text"}
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


@given(st.sampled_from(causes()), st.data())
def test_a_wording_finds_whatever_stands_in_its_places(cause: Any, data: st.DataObject) -> None:
    """A placeholder takes any name, so that no literal decides."""
    wording = data.draw(st.sampled_from(cause.wordings)).lower()
    fillings = {"{}": "[a-z/:0-9 ]{0,30}", "{n}": "[0-9]{1,6}", "{word}": "[a-z0-9/.-]{1,20}"}
    parts = re.split(r"(\{\w*\})", wording.removeprefix("^"))
    text = "".join(
        data.draw(st.from_regex(fillings[part], fullmatch=True))
        if part in fillings
        else "'a b'"
        if part == "{quoted}"
        else part
        for part in parts
    )
    assert compiled(wording).search(text)


def test_an_explanation_shows_itself() -> None:
    """It has a short repr, a text of lines no wider than a terminal, and safe HTML."""
    found = explain(CLOSED)
    assert repr(found) == "Explanation('port-closed', noticed_by='source daemon')"
    assert repr(explain("x")) == "Explanation('unknown')"
    lines = str(found).splitlines()
    assert lines[0] == "port-closed"
    assert lines[1] == "noticed by  source daemon"
    assert max(map(len, lines)) <= 96
    assert f"more in     {found.logs[0]}" in str(found)
    odd = Explanation(
        known=True, id="x", cause="<b>&", noticed_by=None, mend="<script>", text="<i>"
    )
    assert "&lt;b&gt;&amp;" in odd._repr_html_()
    assert "<script>" not in odd._repr_html_()
    assert odd.log == ""
    assert "more in" not in str(odd)
