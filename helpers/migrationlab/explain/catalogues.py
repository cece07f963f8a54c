"""Turn a message of a localised libvirt back into English, by libvirt's own translations.

The catalogues are read where a system keeps them: Debian's ``libvirt-l10n``, other distributions'
libvirt packages, and libc's for the operating system's part of a message. None is part of this
package. Theory of operation: a line that looks localised is compared with the translations whose
longest literal part it has; each one found is replaced by its English message, the longest first,
because the others can stand inside it.
"""

from __future__ import annotations

import gettext
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path

from migrationlab.explain.unwrap import BREAK, SIGNS, Plain, unwrap

#: Where systems keep translations.
FOLDERS = ("/usr/share/locale", "/usr/local/share/locale", "/usr/share/locale-langpack")
#: How many lines of a text are translated, how long they may be, and in how much of its end they
#: are looked for, in characters.
LINES, LONGEST_LINE, LONGEST_TEXT = 20, 1_000, 1 << 20
#: How many parts of a line are looked for in each catalogue, the longest first.
PIECES = 6
#: The word for "error" in many languages, with which virsh and libvirt begin a message, and some
#: words that tell a language where "error" or all letters are those of English.
_ERROR_WORDS = re.compile(
    r"\b(?:fehler|erreur|errore|erro|błąd|chyba|hiba|hata|fout|feil|fejl|fel|virhe|greška|eroare|"
    r"napaka|klaida|kļūda|ralat|kesalahan|lỗi|no se (?:puede|pudo|ha)|no existe|no hay|impossibile|"
    r"impossible de|kann (?:keine?n?|nicht|adresse)|konnte nicht|fehlgeschlagen|échec|échoué|"
    r"nelze|nie można|nem lehet|kan niet|kunde inte|tidak dapat)\b"
    r"|错误|錯誤|エラー|오류|ошибк|помилк|грешк|σφάλμα|خطأ|त्रुटि|ত্রুটি"
)
_FOREIGN = re.compile(r"[^\W\d_a-z]")
_LOCALISED = re.compile(f"{_ERROR_WORDS.pattern}|{_FOREIGN.pattern}")
#: What no message has, but the bytes of a file that is no text.
_BINARY = re.compile("[\\x00-\\x08\\x0e-\\x1b\\x7f-\\x84\\x86-\\x9f\\ufffd]")
#: A conversion of printf, with its number where the catalogue gives one: %s, %1$s, %-10zu.
_CONVERSION = re.compile(r"%(?:(\d)\$)?[-#0 +']*\d*(?:\.\d+)?(?:hh|h|ll|l|z|j)?([diouxXcs])")
#: Letters, with the marks that some scripts combine with them: all but blanks and signs.
_LETTER = rf"[^\s\x00-@\[-`{{-\x7f；、！（）《》{re.escape(''.join(SIGNS))}]"
_LITERALS = re.compile(f"{_LETTER}+(?: {_LETTER}+)*")
#: A shorter literal part stands in too many lines by chance.
_SHORTEST, _SHORTEST_FOREIGN = 9, 4


@dataclass(frozen=True, slots=True)
class Translation:
    """One message of a catalogue.

    Attributes:
        literal: The longest part of the translation without a placeholder or a sign, in small
            letters.
        translated: The translation.
        english: The message in English.
    """

    literal: str
    translated: str
    english: str


def looks_localised(plain: Plain) -> bool:
    """Return whether a text seems to be in another language than English."""
    end = plain.text[-LINES * LONGEST_LINE :].split("\n")[-LINES:]
    return any(_ERROR_WORDS.search(line) or len(_FOREIGN.findall(line)) >= 4 for line in end)


def in_english(plain: Plain) -> Plain | None:
    """Return a text with its localised messages in English; None if no catalogue knows any."""
    done: list[str] = []
    at = begin = max(0, len(plain.kept) - LONGEST_TEXT)
    for start, end in islice(_localised_lines(plain.text, begin), LINES):
        line = plain.kept[start:end]
        found = max(_in_each_language(line), key=lambda pair: pair[0], default=(0, ""))
        if found[0]:
            done += [plain.kept[at:start], found[1]]
            at = end
    return unwrap("".join([plain.kept[:begin], *done, plain.kept[at:]])) if done else None


def _localised_lines(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each line that may be localised."""
    while found := _LOCALISED.search(text, at):
        start = text.rfind("\n", at, found.start()) + 1 or at
        at = text.find("\n", found.end())
        end = at if at >= 0 else len(text)
        if end - start <= LONGEST_LINE and not _BINARY.search(text, start, end):
            yield start, end
        if at < 0:
            return


def _in_each_language(line: str) -> Iterator[tuple[int, str]]:
    """Yield how much of a line a language knows, in characters, and the line in English."""
    small = line.lower()
    pieces = {piece for found in _LITERALS.findall(line) for piece in (found, *found.split())}
    telling = sorted(filter(_is_telling, pieces), key=len, reverse=True)
    sought = [piece.encode() for piece in telling[:PIECES]]
    if not sought:
        return
    for file in files("libvirt"):
        content = _content(file)
        if any(piece in content for piece in sought):
            yield _replaced(line, small, _translations(file))


def _is_telling(literal: str) -> bool:
    return len(literal) >= (_SHORTEST if literal.isascii() else _SHORTEST_FOREIGN)


def _replaced(line: str, small: str, translations: Iterable[Translation]) -> tuple[int, str]:
    known = 0
    for each in translations:
        if each.literal not in small:
            continue
        if found := _pattern(each.translated).search(line):
            english = _filled(each, found)
            line = line[: found.start()] + english + line[found.end() :]
            small = line.lower()
            known += len(each.literal)
    return known, line


def _filled(translation: Translation, found: re.Match[str]) -> str:
    """Return the English message with what the translation has in its places."""
    order = [number for number, _ in _CONVERSION.findall(translation.translated)]
    values = {
        int(number) if number else at: value
        for at, (number, value) in enumerate(zip(order, found.groups(), strict=True), 1)
    }
    count = iter(range(1, len(values) + 1))
    return _CONVERSION.sub(
        lambda place: values.get(int(place[1]) if place[1] else next(count), ""),
        translation.english,
    ).replace("%%", "%")


@cache
def _pattern(translated: str) -> re.Pattern[str]:
    pieces = _CONVERSION.split(unwrap(translated).kept.strip())
    literals, kinds = pieces[::3], pieces[2::3]
    expression = re.escape(literals[0])
    for kind, literal in zip(kinds, literals[1:], strict=True):
        value = r"-?[0-9a-fx]+" if kind in "diouxX" else f"[^{BREAK}]{{0,300}}?"
        expression += f"({value}){re.escape(literal)}"
    if len(literals) > 1 and not literals[-1]:
        expression += "$"
    return re.compile(expression.replace("%%", "%").replace(r"\ ", " ?"), re.IGNORECASE)


def files(domain: str) -> list[Path]:
    """Return the files of a translated program, in all languages."""
    found = [Path(folder).glob(f"*/LC_MESSAGES/{domain}.mo") for folder in FOLDERS]
    return sorted(file for files in found for file in files)


@cache
def _content(file: Path) -> bytes:
    with suppress(OSError):
        return file.read_bytes()
    return b""


@cache
def _translations(file: Path) -> tuple[Translation, ...]:
    """Return the messages of a catalogue and of libc's in that language, the longest first."""
    system = {os.strerror(number) for number in range(1, 133)} | {"Name or service not known"}
    libc = file.with_name("libc.mo")
    pairs = [*_messages(file), *(pair for pair in _messages(libc) if pair[0] in system)]
    found = [each for english, text in pairs if (each := _translation(english, text))]
    return tuple(sorted(found, key=lambda each: (-len(each.literal), -len(each.translated))))


def _messages(file: Path) -> list[tuple[str, str]]:
    # A file that is no catalogue, or is gone, has no messages: the text stays unknown.
    with suppress(OSError, ValueError, UnicodeDecodeError), file.open("rb") as opened:
        catalogue: dict[object, str] = vars(gettext.GNUTranslations(opened))["_catalog"]
        return [(key, text) for key, text in catalogue.items() if isinstance(key, str) and key]
    return []


def _translation(english: str, text: str) -> Translation | None:
    literal = max(_LITERALS.findall(_CONVERSION.sub("%", text)), key=len, default="")
    places = len(_CONVERSION.findall(text))
    if not _is_telling(literal) or "\n" in text or places > 4 or text == english:
        return None
    return Translation(literal.lower(), text, english)
