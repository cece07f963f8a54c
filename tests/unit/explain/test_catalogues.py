"""Localised messages: read by a system's catalogues, and otherwise recognised as such."""

from __future__ import annotations

import gettext
import struct
from pathlib import Path

import pytest

from migrationlab.explain import catalogues
from migrationlab.explain.explanation import explain

#: Made up for these tests, in the style of each catalogue's language.
TRANSLATIONS = {
    "": "Content-Type: text/plain; charset=UTF-8\n",
    "unable to connect to server at '%s:%s'": "Grübelserver '%s:%s' will nicht antworten",
    "Unsafe migration: %s": "Gefährlicher Umzug: %s",
    "migration of disk %1$s failed: %2$s": "Weil %2$s: Platte %1$s blieb zurück",
    "internal error: %s": "innerer Grübelfehler: %s",
}


def compiled(messages: dict[str, str]) -> bytes:
    """Return a catalogue as msgfmt compiles it (gettext's manual, The Format of GNU MO Files)."""
    pairs = sorted((key.encode(), text.encode()) for key, text in messages.items())
    at = 28 + 16 * len(pairs)
    tables, texts = [b"", b""], b""
    for column in (0, 1):
        for pair in pairs:
            tables[column] += struct.pack("<II", len(pair[column]), at + len(texts))
            texts += pair[column] + b"\0"
    head = (0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, at)
    return struct.pack("<7I", *head) + b"".join(tables) + texts


@pytest.fixture
def german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the system have one catalogue, with made-up translations."""
    file = tmp_path / "de/LC_MESSAGES/libvirt.mo"
    file.parent.mkdir(parents=True)
    file.write_bytes(compiled(TRANSLATIONS))
    monkeypatch.setattr(catalogues, "FOLDERS", (str(tmp_path),))
    return file


def test_noise_in_english_does_not_keep_a_line_from_being_read(german: Path) -> None:
    """A localised reason in a log whose other lines are English noise is found."""
    noise = "Mar 04 02:10:01 a sshd[7]: Connection closed by 192.0.2.9 port 50122 [preauth]"
    reason = (
        "Mar 04 02:10:02 a libvirtd[8]: innerer Grübelfehler: Grübelserver 'b:49152' will nicht"
    )
    found = explain("\n".join([noise] * 30 + [f"{reason} antworten"] + [noise] * 30))
    assert (found.id, found.line) == ("port-closed", 31)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Fehler: Grübelserver 'b:49152' will nicht antworten: Zeit abgelaufen", "port-closed"),
        ("Fehler: Gefährlicher Umzug: ganz neu", "migration-unsafe"),
        ("Fehler: Weil die Leitung riss: Platte vda blieb zurück", "disk-copy-failed"),
        ("innerer Grübelfehler: Grübelserver 'b:1' will nicht antworten", "port-closed"),
    ],
)
def test_catalogue_turns_a_message_into_english(german: Path, text: str, cause: str) -> None:
    """A localised message gets the cause of its English one, at its own line."""
    found = explain(f"virsh migrate web\n{text}")
    assert (found.id, found.line, found.quote) == (cause, 2, text)


def test_places_may_change_their_order(german: Path) -> None:
    """A translation that names its places in another order is filled in by their numbers."""
    plain = catalogues.unwrap("Fehler: Weil die Leitung riss: Platte vda blieb zurück")
    english = catalogues.in_english(plain)
    assert english is not None
    assert "migration of disk vda failed: die Leitung riss" in english.kept


def test_message_in_another_language_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a catalogue the cause is unknown, and the fix gives the message in English."""
    monkeypatch.setattr(catalogues, "FOLDERS", ())
    for text in (
        "Fehler: etwas ging schief",
        "错误：迁移失败",
        "エラー: 失敗しました",
        "erreur : raté",
    ):
        found = explain(text)
        assert not found.known
        assert "LC_ALL=C virsh migrate" in found.fix
    assert "LC_ALL" not in explain("error: something new").fix


def test_file_that_is_no_catalogue_is_passed_over(german: Path) -> None:
    """A broken file is as if it were not there."""
    german.write_bytes(b"Gr\xc3\xbcbelserver will nicht antworten")
    assert not explain("Fehler: Grübelserver 'b:1' will nicht antworten").known


#: Messages that many catalogues have.
ENGLISH = (
    "unable to connect to server at '%s:%s'",
    "Unable to resolve address '%s' service '%s': %s",
    "Unsafe migration: %s",
    "Migration without shared storage is unsafe",
    "cannot migrate domain with I/O error",
)


@pytest.mark.skipif(not catalogues.files("libvirt"), reason="libvirt's translations are missing")
def test_installed_catalogues_are_read() -> None:
    """In each of these languages a message has the cause that it has in English."""
    places = ("node-2", "49152", "x")
    tried, misses = 0, []
    for language in ("cs", "de", "fr", "ja", "ko", "ru", "zh_CN"):
        translations = gettext.translation(
            "libvirt", catalogues.FOLDERS[0], [language], fallback=True
        )
        for english in ENGLISH:
            localised = translations.gettext(english)
            if localised != english:
                count = english.count("%s")
                error = translations.gettext("error: ")
                found = explain(error + localised % places[:count])
                tried += 1
                if found.id != explain(english % places[:count]).id:
                    misses.append((language, localised, found.id))
    assert tried > 20
    assert misses == []
