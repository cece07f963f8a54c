r"""Make a pasted text plain, and keep track of its lines.

People paste what their tools wrapped around a message: JSON, YAML, Go's ``virError(…)``, Python's
tracebacks, syslog, a terminal's progress. Nothing of it is parsed, because most of it arrives cut
or mixed. Theory of operation:

- What a wrapper did to the characters of a message is undone everywhere: escapes, entities,
  doubled quotation marks, colours, quotation marks of a typographer.
- A place where a message begins inside a line becomes a break (``\v``): ``Message='`` in Go, each
  host's half of libvirt's newer messages, a QEMU's own line inside libvirt's. A line ``\n`` of the
  text stays one, so a position says its line number.
- What stands before a message on its line is judged only where a wording was found
  (:func:`head_of`): its level, its time, the function of libvirt.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

#: A break that the text does not have as a line: one wrapped message ends, another begins.
BREAK = "\v"
#: The end of a text in which a QEMU's own line is looked for, in characters.
LAST_WORDS = 1 << 20
#: How far before a match its line's beginning is looked for.
HEAD_CHARACTERS = 600

_BLANKS = "\t\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
#: Signs, and what they are in a plain text. The ASCII ones are replaced one by one, because most
#: texts have few of them, and a table would be looked up for each character of the others.
SIGNS = (
    dict.fromkeys('‘’‚‛`´“”„‟«»「」"', "'")
    | dict.fromkeys("‐‑", "-")
    | dict.fromkeys(_BLANKS, " ")
    | {"：": ":", "，": ",", "。": ".", "İ": "I"}
)
_ASCII_SIGNS = [sign for sign in SIGNS if sign.isascii()]
_OTHER_SIGNS = re.compile(f"[{''.join(sign for sign in SIGNS if not sign.isascii())}]")
# Each of these begins with a literal, because the re module finds that fast in a long text.
_COLOURS = {
    begin: re.compile(re.escape(begin) + r"[0-9;]*[A-Za-z]")
    for begin in ("\x1b[", "#033[", "\\033[", "\\e[")
}
_ESCAPES = re.compile(r"\\\\{0,8}(?:u([0-9a-fA-F]{4})|([nrt\"'/]))")
_ENTITIES = re.compile(r"&(?:amp;)?(#39|#x27|#34|#10|#xA|apos|quot|lt|gt);")
_ENTITY = {"lt": "<", "gt": ">", "#10": BREAK, "#xA": BREAK}
#: YAML and SQL write a quotation mark inside quotation marks twice. '' alone is an empty text.
_DOUBLED = re.compile(r"''(?:(?=[\w/.])|(?<=[\w/.)\]>%-]'')(?!'))")
_HALVES = re.compile(r"essage from the (?:source|destination) host: ")
#: Some tools join QEMU's lines without a blank between them.
_INNER_LINES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{8,20}Z (?:/\S{1,200}/)?(?:qemu|kvm)")
_BEFORE_INNER_LINE = re.compile(r": |.?[\w)\]'.]")
#: A line of QEMU itself, and not one that it writes without an error.
_OWN_LINE = re.compile(
    r"\b(?:qemu-system-\w+|qemu-kvm|kvm): (?!warning|info|-\w+ [^\n\v]*(?:redirected|deprecated)|"
    r"terminating|load of migration failed)"
)
#: Python tools repeat a message behind the name of its exception.
_REPEATED = re.compile(r": (?=(?:libvirt\.)?libvirtError: )")
_MESSAGES = re.compile(r"essage[=:] ?'")
#: A text with more of a sign than this is no message, and is not searched for what it wraps.
_MOST_SIGNS = 2_000_000

#: The start of a line of libvirt's log (virLogFormatString in virlog.c), with its level.
_LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\d[ t]\d\d:\d\d:\d\d\.\d+[+-]\d{4}: "
    r"(?:(?P<thread>\d+): (?P<level>\w+) : (?:(?P<function>\w+):\d+ : )?)?"
)
_LEVEL = re.compile(r"\b(?:level|lvl|severity|priority)'?\s?[=:]\s?'?(\w+)|^\S+ \S+ \d+ (debug) ")
_WARNING = re.compile(r"(?:^|[ :])warn(?:ing)?: ")
#: The possible prefixes of a message: syslog's date, the name of a program, Python's exception.
_PREFIXES = re.compile(
    r"(?:\w{3} {1,2}\d{1,2} [\d:]{8} \S+ \S+: |error: |fatal: |virsh: |migrationlab: |hint: "
    r"|(?:\w+\.)*libvirterror: |(?:\w+\.)*hosterror: |(?:/\S*/)?qemu-(?:system-\w+|kvm): "
    r"|libvirt: [\w -]+ error : |libvir: [\w -]*error : |\d{4}-\d\d-\d\dt[\d:.]+z "
    r"|\w+:\d+ : |warning: |[#$] )+"
)
_SAYS_WHAT_FOLLOWS = re.compile(
    r"(?:failure|failed|error|reason|message|msg|err|exception|host|\])'?\s?[=:]?\s?'?$"
)
#: The program that wrote a line of syslog or of the journal: NAME[PID]: behind time and host.
_SPEAKER = re.compile(
    r"^(?:\w{3} \d{1,2} [\d:]{8}|\d{4}-\d\d-\d\dt[\d:.+-]+z?) [\w.-]+ ([\w./@-]+)(?:\[\d+\])?: "
)
_TIME = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[ t](\d\d):(\d\d):(\d\d)")
_SYSLOG_TIME = re.compile(r"^(\w{3}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) ")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
#: libvirt's code and domain, as Go, Rust and Perl write them beside a message.
_CODE = re.compile(r"\bcode[=:] ?(\d{1,3})\b")
_DOMAIN = re.compile(r"\bdomain[=:] ?(\d{1,3})\b")


@dataclass(frozen=True)
class Plain:
    """A text made plain.

    Attributes:
        raw: The text, unchanged.
        kept: The plain text with its capital letters.
        text: The plain text in small letters. Its positions are those of ``kept``: only İ, which is
            no plain sign, has a small form of two characters.
    """

    raw: str
    kept: str
    text: str

    @cached_property
    def flat(self) -> str:
        """Return the text as one line, with the same positions."""
        return self.text.replace("\n", " ").replace(BREAK, " ")

    @cached_property
    def _raw_lines(self) -> list[str]:
        return self.raw.split("\n")

    def before(self, position: int, lines: int = 3) -> str:
        """Return the line of a position, and the lines before it, as far as they are short."""
        begin = position
        for _ in range(lines + 1):
            begin = self.text.rfind("\n", max(0, position - 4_000), max(begin, 0))
        end = self.text.find("\n", position, position + 4_000)
        return self.text[max(begin, position - 4_000, 0) : end if end >= 0 else position + 4_000]

    def last_words(self) -> tuple[int, int] | None:
        """Return position and line number of what a QEMU said before it ended; None if nothing."""
        begin = max(self.text.rfind("starting up libvirt version"), len(self.text) - LAST_WORDS, 0)
        found = _OWN_LINE.search(self.text, begin)
        return found and (found.start(), self.text.count("\n", 0, found.start()) + 1)

    def quoted(self, start: int, number: int, longest: int = 300) -> str:
        """Return the line around a position as it stands in the text; its part if it is long."""
        line = self._raw_lines[number - 1].strip()
        if len(line) <= longest:
            return line
        breaks = ("\n", BREAK)
        left = max(self.kept.rfind(each, max(0, start - longest), start) for each in breaks) + 1
        left = left or max(0, start - longest // 3)
        ends = [self.kept.find(each, start, left + longest) for each in breaks]
        right = min([end for end in ends if end >= 0], default=left + longest)
        whole = ("" if left == 0 else "… ") + self.kept[left:right].strip()
        return whole if right >= len(self.kept) else f"{whole} …"


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before a message on its line.

    Attributes:
        speaker: The program that wrote the line, in syslog or the journal; empty elsewhere.
        level: "debug" for what no error is in, "warning" where the program went on, else "error".
        thread: The thread of libvirt that logged it; empty if that is not known.
        function: The function of libvirt that logged it; empty if there is none.
        time_s: When, in seconds; None if the line has no time.
        begins: Whether the message begins here: only prefixes stand before it.
    """

    speaker: str
    level: str
    thread: str
    function: str
    time_s: float | None
    begins: bool


def unwrap(raw: str) -> Plain:
    """Return a text made plain: see this module's description."""
    text = _without_wrapping(raw)
    for sign in _ASCII_SIGNS:
        if sign in text:
            text = text.replace(sign, SIGNS[sign])
    if not text.isascii():
        text = _OTHER_SIGNS.sub(lambda found: SIGNS[found[0]], text)
    while "  " in text:
        text = text.replace("  ", " ")
    if 0 < text.count("''") < _MOST_SIGNS:
        text = _DOUBLED.sub("'", text)
    if "essage from the " in text:
        text = _with_breaks(text, [found.start() - 1 for found in _HALVES.finditer(text)])
    if "Z qemu" in text or "/qemu" in text or "Z kvm" in text:
        text = _INNER_LINES.sub(_broken_off, text)
    if ": libvirt" in text:
        text = _REPEATED.sub(BREAK, text)
    if "essage=" in text or "essage: '" in text:
        text = _MESSAGES.sub(lambda found: f"{found[0][:7]}'{BREAK}", text)
    for line_break in ("\n", BREAK):
        text = text.replace(f"{line_break} ", line_break).replace(f" {line_break}", line_break)
    return Plain(raw, text, text.lower())


def _without_wrapping(text: str) -> str:
    """Return a text without the characters that a terminal, JSON, syslog or HTML put into it."""
    for begin, colour in _COLOURS.items():
        if begin in text:
            text = colour.sub("", text)
    if 0 < text.count("\\") < _MOST_SIGNS:
        text = _ESCAPES.sub(_unescaped, text)
    if "#01" in text:
        text = text.replace("#012", BREAK).replace("#011", " ")
    if "&" in text:
        text = _ENTITIES.sub(lambda found: _ENTITY.get(found[1], "'"), text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", BREAK)
    return text


def _with_breaks(text: str, positions: list[int]) -> str:
    """Return a text with a break at each position; these ascend."""
    bounds = [0, *positions, len(text)]
    return BREAK.join(text[begin:end] for begin, end in pairwise(bounds))


def _broken_off(found: re.Match[str]) -> str:
    """Return the begin of a QEMU's own line, with a break before it where something is before."""
    before = found.string[max(0, found.start() - 2) : found.start()]
    return f"{BREAK}{found[0]}" if _BEFORE_INNER_LINE.fullmatch(before) else found[0]


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        number = int(found[1], 16)
        return "?" if 0xD800 <= number <= 0xDFFF else chr(number)
    return {"n": BREAK, "r": BREAK, "t": " "}.get(found[2], found[2])


def head_of(text: str, start: int) -> Head:
    """Return what stands before a position of a plain text, on the same line."""
    line = max(
        text.rfind("\n", max(0, start - HEAD_CHARACTERS), start) + 1, start - HEAD_CHARACTERS
    )
    segment = text.rfind(BREAK, max(line, 0), start) + 1 or max(line, 0)
    before = text[max(line, 0) : start]
    log = _LOG_LINE.search(before)
    own = text[segment:start]
    speaker = _SPEAKER.match(before)
    return Head(
        speaker=speaker[1] if speaker else "",
        level=_level(before, own, log),
        thread=(log and log["thread"]) or "",
        function=(log and log["function"]) or "",
        time_s=_time_s(before),
        begins=_begins(own[log.end() :] if log and segment <= line else own),
    )


def _level(before: str, own: str, log: re.Match[str] | None) -> str:
    if log and log["level"] in ("debug", "info"):
        return "debug"
    found = _LEVEL.search(before)
    level = (log and log["level"]) or (found and (found[1] or found[2])) or ""
    if level in ("debug", "trace"):
        return "debug"
    return "warning" if level.startswith("warn") or _WARNING.search(own) else "error"


def _begins(own: str) -> bool:
    own = own.lstrip()
    return not own or bool(_PREFIXES.fullmatch(own) or _SAYS_WHAT_FOLLOWS.search(own))


def _time_s(before: str) -> float | None:
    if found := _TIME.search(before):
        year, month, *rest = map(int, found.groups())
    elif (found := _SYSLOG_TIME.match(before)) and found[1] in _MONTHS:
        year, month, *rest = 2000, _MONTHS.index(found[1]) + 1, *map(int, found.groups()[1:])
    else:
        return None
    day, hour, minute, second = rest
    try:
        return dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC).timestamp()
    except ValueError:  # the 31st of June: some other number
        return None


def numbers_beside(line: str) -> tuple[int | None, int | None]:
    """Return libvirt's code and domain that a line gives beside a message; None if it does not."""
    if "virerror(" not in line and "libvirt error code" not in line and "error { code" not in line:
        return None, None
    code, domain = _CODE.search(line), _DOMAIN.search(line)
    return code and int(code[1]), domain and int(domain[1])
