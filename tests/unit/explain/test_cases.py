"""Whole texts that people pasted: the culprit, its line, what helps, and what stands behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from migrationlab.explain import catalogues
from migrationlab.explain.explanation import Explanation, Kind, explain

HERE = Path(__file__).parent
CASES: list[dict[str, Any]] = [
    case
    for name in ("cases.yaml", "reported.yaml", "pasted.yaml", "blind.yaml")
    for case in yaml.load((HERE / name).read_text("utf-8"), yaml.CSafeLoader)
]
REFUSED = "invalid argument: missing host in migration URI: tcp://"
CHANNEL = "operation failed: job 'migration out' failed: channel error: Input/output error"


def text_of(case: dict[str, Any]) -> str:
    """Return the text of a case, with the lines that follow it."""
    text: str = case["text"]
    return text + f"\n{case['pad_line']}" * case["pad_times"] if "pad_line" in case else text


@pytest.mark.parametrize("kind", sorted({case["kind"] for case in CASES}))
def test_case_is_explained(kind: str) -> None:
    """Each case gets its cause, the line that it rests on, and what helped."""
    installed = bool(catalogues.files("libvirt"))
    misses = []
    for case in CASES:
        if case["kind"] == kind and (installed or not case.get("catalogue")):
            found = explain(text_of(case))
            answer = (found.id, found.to_dict()["known"], found.line)
            said = f"{found.cause} {found.candidates} {found.fix} {found.versions}"
            lacks = [words for words in case["says"] if words not in said]
            if answer != (case["id"], case["known"], case["line"]) or lacks:
                misses.append((case["text"], case["id"], answer, lacks))
    assert misses == []


def lines(*messages: str) -> str:
    """Return a log of libvirt with these messages, a second apart."""
    head = "2026-03-02 08:{:02}:{:02}.100+0000: 811: error : x:1 : "
    return "\n".join(head.format(*divmod(at, 60)) + each for at, each in enumerate(messages))


def test_reason_beats_after_effects_before_it() -> None:
    """A reason is the culprit wherever it stands; what followed from it is listed behind it."""
    noise = "End of file while reading data: Input/output error"
    found = explain(lines(noise, CHANNEL, REFUSED, "domain is no longer running", noise))
    assert (found.id, found.line) == ("migration-uri-host-missing", 3)
    assert [(other.id, other.line) for other in found.others] == [
        ("stream-broken", 2),
        ("job-failed-with-reason", 2),
        ("domain-ended-meanwhile", 4),
    ]
    assert found.others[0].quote.endswith(CHANNEL)


def test_last_migration_of_a_log_counts() -> None:
    """Of two reasons that are hours apart the later one is explained."""
    early = lines("unable to connect to server at 'b:49152': No route to host")
    late = lines(REFUSED).replace("2026-03-02 08", "2026-03-02 20")
    found = explain(f"{early}\n{late}")
    assert (found.id, found.line) == ("migration-uri-host-missing", 2)
    assert found.others[0].id == "port-closed"


def test_first_reason_of_one_failure_counts() -> None:
    """Of two reasons a second apart the first one is explained."""
    found = explain(lines("unable to connect to server at 'b:49152': timed out", REFUSED))
    assert (found.id, found.line) == ("port-closed", 1)


def test_thread_without_part_in_a_migration_does_not_count() -> None:
    """An error that another thread of libvirt logged before is not the culprit."""
    head = "2026-03-02 08:00:0{}.100+0000: {}: error : {}:1 : {}"
    refused = head.format(3, 811, "qemuMigrationDstPrepareAny", REFUSED)
    other = head.format(1, 900, "virFileReadAll", "Failed to open file '/x.xml': Permission denied")
    log = f"{other.replace('Permission denied', 'No such file or directory')}\n{refused}"
    found = explain(log)
    assert (found.id, found.line) == ("migration-uri-host-missing", 2)
    assert [each.id for each in found.others] == ["disk-file-missing"]


def test_other_guest_does_not_count() -> None:
    """An error of another guest a second before is not the culprit."""
    uuids = [f"{number}7b7edae-f878-4756-a858-86f836d02c33" for number in (1, 2)]
    says = "2026-03-02 08:00:0{} ERROR nova [instance: {}] Live Migration failure: "
    log = "\n".join(
        [
            says.format(1, uuids[0]) + "Certificate does not match the hostname b",
            says.format(2, uuids[1]) + REFUSED,
            says.format(3, uuids[1]) + "operation failed: domain is not running",
        ]
    )
    assert (explain(log).id, explain(log).line) == ("migration-uri-host-missing", 2)


def test_line_of_other_software_says_nothing() -> None:
    """The same words in a line of a data base or a web client are no message of a hypervisor."""
    said = "Unable to connect to server at '{}'"
    assert explain(said.format("host-b:49152")).id == "port-closed"
    assert explain(said.format("http://host-b:49152")).id == "unknown"
    assert explain("Hyper-V clock is not supported by kernel").id == "hyperv-feature-missing"
    assert explain("psycopg2: TLS handshake failed for postgresql").id == "unknown"


def test_candidates_are_listed_and_claim_nothing() -> None:
    """A message that several causes give names them all, and how to tell them apart."""
    found = explain("': Postcopy is not supported")
    assert (found.kind, found.to_dict()["known"]) == (Kind.CANDIDATES, "partly")
    assert len(found.candidates) == len(found.to_dict()["candidates"]) > 1
    assert str(found).count("possible ") >= len(found.candidates)


def test_known_has_three_values() -> None:
    """A cause is known, an after-effect partly, and other texts are not."""
    texts = (REFUSED, CHANNEL, "hello")
    assert [explain(text).to_dict()["known"] for text in texts] == [True, "partly", False]
    assert [explain(text).kind for text in texts] == [Kind.CAUSE, Kind.AFTER_EFFECT, None]


def test_log_that_has_only_noise_names_no_cause() -> None:
    """What every log has is explained, and is no cause if it is all that a log has."""
    noise = "Guest agent is not responding: Guest agent not available for now"
    assert explain(noise).to_dict()["known"] is True
    found = explain(lines("something new", noise, noise))
    assert (found.id, found.to_dict()["known"]) == ("agent-unresponsive", "partly")


def test_last_command_of_a_terminal_counts() -> None:
    """In a copied terminal the last command that migrates is explained."""
    first = "error: unable to connect to server at 'b:49152': No route to host"
    prompt = "[root@host-a ~]# virsh migrate --live web qemu+ssh://host-b/system"
    later = "[root@host-a ~]# virsh domjobinfo web\nerror: No job is active on the domain"
    found = explain(f"{prompt}\n{first}\n{prompt}\nerror: {REFUSED}\n{later}")
    assert (found.id, found.line) == ("migration-uri-host-missing", 4)
    assert explain(f"{prompt}\n{first}\n{later}").id == "port-closed"


def test_causal_half_of_a_two_sided_message_leads() -> None:
    """Of libvirt's two halves the one with the reason is explained, on either side."""
    text = (
        "operation failed: migration failed. Message from the source host: {}. "
        "Message from the destination host: {}"
    )
    echo = "operation failed: job 'migration out' failed: Unable to write to socket: Broken pipe"
    reason = "load of migration failed: Cannot allocate memory"
    assert explain(text.format(echo, reason)).id == "memory-short"
    assert explain(text.format("Certificate does not match the hostname b", echo)).id == (
        "certificate-wrong-name"
    )


@pytest.mark.parametrize(
    "wrapped",
    [
        json.dumps({"level": "error", "msg": f"migration: {REFUSED}", "ts": 1}),
        json.dumps(json.dumps({"message": REFUSED})),
        f"reason: 'virError(Code=8, Domain=10, Message=''{REFUSED}'')'",
        f"virError(Code=8, Domain=10, Message='{REFUSED}')",
        f"libvirtError('{REFUSED}')",
        f"Mar 02 11:36:05 host-b libvirtd[30168]: {REFUSED}",
        f"Mar  2 11:36:05 host-b libvirtd: 811: error : x:1 : {REFUSED}#012next",
        f"Migration: [ 12 %]\rMigration: [ 99 %]error: {REFUSED}",
        f"\x1b[31m{REFUSED}\x1b[0m",
        "message: >-\n  invalid argument: missing\n  host in migration URI:\n  tcp://",
        f'fatal: [node-1]: FAILED! => {{"msg": "{REFUSED}"}}',
        f"2026-03-02 14:01:09 [node-2] {REFUSED}",
        f"&quot;{REFUSED}&quot;",
        f"<p>{REFUSED}</p>\n",
        f"root@host-a:~# virsh migrate web tcp://\nerror: {REFUSED}",
    ],
)
def test_wrapped_message_is_found(wrapped: str) -> None:
    """What other programs wrap around a message does not matter."""
    assert explain(wrapped).id == "migration-uri-host-missing"


def test_code_beside_a_message_is_used() -> None:
    """A code that Go wrote beside a message in another language names the cause."""
    text = "virError(Code={}, Domain=10, Message='etwas auf Deutsch')"
    assert explain(text.format(42)).id == "domain-not-found"
    unknown = explain(text.format(1))
    assert not unknown.known
    assert "QEMU driver" in unknown.cause


def shown(found: Explanation) -> str:
    """Return the text of an explanation as one line."""
    return " ".join(str(found).split())


def test_text_quotes_its_line() -> None:
    """The text names the line and the other findings; a message alone is not repeated."""
    text = shown(explain(f"hello\n{REFUSED}\nerror: {CHANNEL}"))
    assert f"line line 2: {REFUSED} noticed by" in text
    assert f"also line 3: stream-broken: error: {CHANNEL}" in text
    assert "line 1" not in shown(explain(REFUSED))
    assert "follows" in shown(explain(CHANNEL))


def test_quote_of_a_long_line_is_its_part() -> None:
    """Of a line of a megabyte only the part around the message is quoted."""
    found = explain("x" * 1_000_000 + f" {REFUSED} " + "y" * 1_000_000)
    assert found.id == "migration-uri-host-missing"
    assert REFUSED in found.quote
    assert len(found.quote) < 700
