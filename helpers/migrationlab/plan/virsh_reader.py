"""Read a ``virsh migrate`` line as virsh reads it, with what people paste around it.

Theory of operation. The line is split as a shell splits it. The words before ``virsh`` (a prompt,
``sudo``, variables) are skipped, virsh's own options before ``migrate`` are read, and the words
after it are options by their exact names, or positional values in virsh's order. Each word that
virsh would refuse is a problem; the reader then goes on with the likeliest meaning, so that the
rest of the line is judged too.

Source: virsh 11.3 itself (``virsh help migrate``, and its answers to each kind of wrong line),
``tools/vsh.c`` (vshCommandParse) and ``tools/virsh-domain.c`` (cmdMigrate).
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from migrationlab.plan.given_call import CallForm, GivenCall
from migrationlab.plan.parsing import plan_of_texts
from migrationlab.plan.problem import Problem
from migrationlab.plan.settings import AUTO, Setting, Shape, settings
from migrationlab.plan.wording import quote

FIELD = "virsh"
DEFAULT_URI = "qemu:///system"
#: The values that need no option, in virsh's order.
POSITIONAL = (
    "--domain", "--desturi", "--migrateuri", "--graphicsuri", "--listen-address", "--dname",
    "--timeout", "--xml", "--migrate-disks", "--migrate-disks-detect-zeroes", "--disks-port",
)  # fmt: skip
XML_OPTIONS = {"--xml": "destination_xml", "--persistent-xml": "persistent_xml"}
#: Options of multi-threaded compression, which QEMU 9.1 has removed.
MT_OPTIONS = frozenset({"--comp-mt-level", "--comp-mt-threads", "--comp-mt-dthreads"})
#: virsh's own options, which no setting has.
_SWITCHES = frozenset({"--direct", "--verbose"})
_VALUES = frozenset({"--domain", "--timeout", *XML_OPTIONS, *MT_OPTIONS})
#: virsh's options before the command that take a value.
_GLOBAL_VALUES = {
    "-c": "--connect", "-d": "--debug", "-e": "--escape", "-k": "--keepalive-interval",
    "-K": "--keepalive-count", "-l": "--log",
}  # fmt: skip
#: 0 means "no limit", or that libvirt chooses.
_ZERO_IS_NONE = frozenset(
    {"--bandwidth", "--postcopy-bandwidth", "--available-switchover-bandwidth", "--disks-port",
     "--timeout"}
)  # fmt: skip
#: What libvirt calls it elsewhere.
_ALIASES = {"--peer2peer": "--p2p", "--peer-to-peer": "--p2p", "--paused": "--suspend"}
_SURE = 0.75
_URI_VARIABLES = ("VIRSH_DEFAULT_CONNECT_URI", "LIBVIRT_DEFAULT_URI")
_PROMPT_ENDS = ("#", "$", ">")
#: Hyphens and dashes that pages and word processors write; an en or em dash stood for two hyphens.
_HYPHENS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2212\ufe63\uff0d"), "-")
_DASHES = dict.fromkeys(map(ord, "\u2013\u2014\u2015"), "--")
_QUOTES = dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b"), "'")
_QUOTES |= dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f"), '"')
_SPACES = re.compile(r"[\u00a0\u2007\u202f\u200b\ufeff]")
_CONTINUED = re.compile(r"\\[ \t]*\r?\n|\r?\n(?=\s*-{1,2}[a-z])")
#: virsh reads at most 64 bits.
_NUMBER = re.compile(r"-?[0-9]{1,20}")

#: The settings by the option of virsh that takes their value, and the flags by their option.
BY_OPTION: dict[str, Setting] = {
    about.virsh: about for about in settings() if about.virsh and about.parameter
} | {"--desturi": settings()["connection_uri"]}
BY_FLAG = {flag.virsh: (about, flag) for about in settings() for flag in about.flags}
_POLICIES = {
    "--timeout-suspend": "suspend_after_s",
    "--timeout-postcopy": "postcopy_after_s",
    "--postcopy-after-precopy": "postcopy_after_iteration",
}
SWITCHES = frozenset({*BY_FLAG, *_POLICIES, *_SWITCHES})
VALUES = frozenset({*BY_OPTION, *_VALUES})


@dataclass
class _Words:
    """The words of a line, as virsh took them."""

    options: dict[str, str | None] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, reason: str, hint: str) -> None:
        """Note that virsh refuses the line."""
        problem = Problem(FIELD, f"{FIELD} {reason}", hint, rule="virsh-line")
        if problem not in self.problems:
            self.problems.append(problem)


def read(text: str) -> GivenCall | None:
    """Return the migration of a text with a ``virsh migrate`` line; None if it has no such line."""
    words = _Words()
    found = _command(text, words)
    if found is None:
        return None
    source_uri, rest, remarks = found
    _take_options(rest, words)
    texts = _texts(words, remarks)
    plan, wrong = plan_of_texts(texts)
    return GivenCall(
        text=text,
        form=CallForm.VIRSH,
        plan=plan,
        domain=words.options.get("--domain"),
        source_uri=source_uri,
        text_problems=(*words.problems, *wrong),
        remarks=tuple(remarks),
        files={name: file for name in XML_OPTIONS if (file := words.options.get(name))},
    )


def _command(text: str, words: _Words) -> tuple[str, list[str], list[str]] | None:
    """Return the source's URI, the words after ``migrate`` and remarks, of the first such line."""
    for line in _CONTINUED.sub(" ", text).splitlines():
        if "migrate" not in line:
            continue
        own = _Words()
        remarks: list[str] = []
        found = _split_command(_shell_words(line, own, remarks), own)
        if found is not None:
            words.problems += own.problems
            return (*found, remarks)
    return None


def _shell_words(line: str, words: _Words, remarks: list[str]) -> list[str]:
    """Split a line as a shell does, up to the end of the command."""
    plain = line.translate(_QUOTES)
    if plain != line:
        words.refuse(
            "must have straight quotation marks, because a shell does not know others",
            "Replace them with ' or \".",
        )
    if spaces := _SPACES.search(plain):
        words.refuse(
            f"must have ordinary spaces between its words (got {spaces[0]!a})",
            "Type the spaces again: a web page can have put others there.",
        )
        plain = _SPACES.sub(" ", plain)
    lexer = shlex.shlex(plain, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split, lexer.commenters = True, ""
    found: list[str] = []
    try:
        for word in lexer:
            if word and word[0] in "|&;<>":
                if word[0] == "&" and found and "?" in found[-1]:
                    remarks.append(
                        "A shell ends the command at &: put a URI with & in quotation marks."
                    )
                if word[0] in "<>" and found and found[-1] in ("1", "2"):
                    found.pop()  # the number of the stream that is redirected
                break
            found.append(word)
    except ValueError:
        words.refuse("must close each quotation mark", "Close the quotation mark.")
    return found


def _split_command(line: list[str], words: _Words) -> tuple[str, list[str]] | None:
    """Return the source's URI, and the words after ``migrate``; None if that is not the command."""
    virsh = next((n for n, word in enumerate(line) if word.rpartition("/")[2] == "virsh"), None)
    if virsh is None:
        # Inside virsh, its prompt (virsh #) may be missing from what is pasted.
        return (DEFAULT_URI, line[1:]) if line[:1] == ["migrate"] and len(line) > 1 else None
    variables = dict(word.partition("=")[::2] for word in line[:virsh] if "=" in word)
    uri = next((variables[name] for name in _URI_VARIABLES if variables.get(name)), DEFAULT_URI)
    rest = iter(line[virsh + 1 :])
    for typed in rest:
        word = _option(typed, words)
        name, equals, value = word.partition("=")
        if name[:2] in _GLOBAL_VALUES and not name.startswith("--"):  # -c URI, -cURI
            name, value, equals = _GLOBAL_VALUES[name[:2]], word[2:], word[2:]
        if name in _GLOBAL_VALUES.values():
            value = value if equals else next(rest, "")
            uri = value if name == "--connect" else uri
        elif name in ("-r", "--readonly"):
            words.refuse("must not be read-only: libvirt then refuses to migrate", "Leave out -r.")
        elif word.startswith("migrate "):  # virsh "migrate web …"
            return uri, _shell_words(word, words, [])[1:]
        elif word == "migrate":
            return uri, list(rest)
        elif not word.startswith("-") and word not in _PROMPT_ENDS:
            return None  # another command
    return None


def _option(word: str, words: _Words) -> str:
    """Return a word with plain hyphens, if it is an option that was pasted with others."""
    name, equals, value = word.partition("=")
    plain = name.translate(_HYPHENS | _DASHES)
    if plain == name or not plain.startswith("-"):
        return word
    if re.match(r"-[a-z]{2}", plain):  # one dash, where two hyphens were
        plain = f"-{plain}"
    plain = re.sub(r"(?<=\w)--(?=\w)", "-", re.sub(r"^-{3,}", "--", plain))
    words.refuse(
        f"must have plain hyphens in its options (got {quote(name)})",
        f"Type the hyphens again: {plain}",
    )
    return plain + equals + value


def _take_options(line: list[str], words: _Words) -> None:
    """Sort the words after ``migrate`` into options and their values."""
    rest = iter(line)
    given: list[str] = []
    for word in rest:
        if word == "--":
            given += rest
        elif word.startswith("#"):
            break
        else:
            plain = _option(word, words)
            if plain.startswith("-") and len(plain) > 1:
                _take_option(plain, rest, words)
            else:
                given.append(word)
    free = (name for name in POSITIONAL if name not in words.options)
    for value in given:
        name = next(free, None)
        if name is None:
            words.refuse(
                f"must have no more values than virsh migrate takes (got {quote(value)})",
                f"Leave out {quote(value)}, or put the option before it.",
            )
            break
        words.options[name] = value
    for name, example in (("--domain", "web"), ("--desturi", "qemu+ssh://root@HOST/system")):
        if name not in words.options:
            words.refuse(f"must have {name[2:]} (got none)", f"Add {name} {example}")


def _take_option(word: str, rest: Iterator[str], words: _Words) -> None:
    name, equals, value = word.partition("=")
    if name not in SWITCHES | VALUES:
        likely = _likely(name)
        words.refuse(f"must have options that virsh migrate knows (got {quote(name)})", _fix(name))
        if likely is None:
            return
        name = likely
    if name in words.options:
        words.refuse(f"must have each option once (got {name} twice)", f"Leave one {name} out.")
    if name in SWITCHES:
        if equals:
            words.refuse(f"must have no value after {name} (got {quote(value)})", f"Write {name}.")
        words.options[name] = None
        return
    got = value if equals else next(rest, None)
    if not got:
        words.refuse(f"must have a value after {name} (got none)", f"Write {name} VALUE.")
        return
    words.options[name] = got


def _likely(name: str) -> str | None:
    """Return the option that was surely meant: a wrong guess would take the next word for it."""
    known = sorted(SWITCHES | VALUES)
    close = difflib.get_close_matches(name[:40].lower(), known, n=1, cutoff=_SURE)
    return _ALIASES.get(name) or (close[0] if close else None)


def _fix(name: str) -> str:
    if name.startswith(("-c", "--connect")) and _likely(name) is None:
        return "Put -c URI before migrate: it is an option of virsh."
    likely = _likely(name)
    return f"Use {likely}." if likely else "List them with: virsh help migrate"


def _texts(words: _Words, remarks: list[str]) -> dict[str, str | bool | None]:
    """Return the texts of the settings; note what virsh itself refuses."""
    options = words.options
    offline = "--offline" in options
    texts: dict[str, str | bool | None] = {"live": "--live" in options or offline}
    for name in options:
        if name in BY_FLAG:
            about, flag = BY_FLAG[name]
            texts[about.name] = flag.state
    if "--compressed" in options:
        texts["compression"] = "default"
    for name, value in options.items():
        if name in BY_OPTION and name not in XML_OPTIONS and value is not None:
            texts |= _value(BY_OPTION[name], name, value, words, remarks)
    texts.setdefault("migration_uri", AUTO)
    texts |= _policies(options, words)
    _refusals(options, words, remarks)
    return texts


def _value(
    about: Setting, name: str, value: str, words: _Words, remarks: list[str]
) -> Mapping[str, str]:
    if name in _ZERO_IS_NONE and _NUMBER.fullmatch(value) and int(value) == 0:
        remarks.append(f"{name} 0 is the same as without {name}.")
        return {}
    if about.shape is Shape.WHOLE and not _NUMBER.fullmatch(value):
        unit = f" of {about.unit}" if about.unit else ""
        words.refuse(
            f"must have a whole number{unit} after {name} (got {quote(value)})",
            f"Write {name} {about.low or 1}, for example, without a unit.",
        )
        return {}
    return {about.name: value}


def _policies(options: Mapping[str, str | None], words: _Words) -> dict[str, str | None]:
    """Return the texts of what virsh does during the migration."""
    texts: dict[str, str | None] = {}
    if "--postcopy-after-precopy" in options:
        texts["postcopy_after_iteration"] = "1"
    given = options.get("--timeout")
    actions = [name for name in ("--timeout-suspend", "--timeout-postcopy") if name in options]
    if len(actions) > 1:
        words.refuse(
            f"must have one of {' and '.join(actions)}: virsh refuses both",
            f"Leave {actions[0]} out.",
        )
    if given is None:
        if actions:
            words.refuse(f"must have --timeout with {actions[0]}", "Add --timeout 60.")
    elif not _NUMBER.fullmatch(given) or int(given) < 0:
        words.refuse(
            f"must have a whole number of s after --timeout (got {quote(given)})",
            "Write --timeout 60, for example.",
        )
    elif int(given):
        texts[_POLICIES[actions[0] if actions else "--timeout-suspend"]] = given
    return texts


def _refusals(options: Mapping[str, str | None], words: _Words, remarks: list[str]) -> None:
    """Note what virsh refuses in a line, and what it does with the rest."""
    if {"--live", "--offline"} <= options.keys():
        words.refuse("must have one of --live and --offline: virsh refuses both", "Leave one out.")
    if {"--copy-storage-all", "--copy-storage-inc"} <= options.keys():
        words.refuse(
            "must have one of --copy-storage-all and --copy-storage-inc: libvirt refuses both",
            "Leave one out.",
        )
    if "--direct" in options:
        words.refuse(
            "must not have --direct: QEMU's driver has no direct migration", "Leave out --direct."
        )
    for name in sorted(MT_OPTIONS & options.keys()):
        words.refuse(
            f"must not have {name}: QEMU 9.1 removed multi-threaded compression",
            "Use --parallel --compressed --comp-methods zstd.",
        )
    if "--persistent-xml" in options and "--persistent" not in options:
        words.refuse("must have --persistent with --persistent-xml", "Add --persistent.")
    remarks += [
        f"{name} {options[name]}: the file is not read here. Its content is judged with "
        f"migrationlab plan --{XML_OPTIONS[name].replace('_', '-')} FILE."
        for name in XML_OPTIONS
        if options.get(name)
    ]
