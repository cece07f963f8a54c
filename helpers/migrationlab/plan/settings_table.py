"""The table of settings as people read it: text, HTML in a notebook, a frame.

Imports of the kit only ``_plan.setting``, ``_uris.parts`` and ``errors``; no libvirt.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

from migrationlab.errors import UsageError
from migrationlab.plan.setting import Group, Kind, Setting
from migrationlab.plan.uri_parser import nearest, quote

if TYPE_CHECKING:
    import pandas as pd


class SettingsTable:
    """Every setting of a migration: prints as text, as HTML in a notebook, and gives a frame."""

    def __init__(self, known: tuple[Setting, ...]) -> None:
        self._known = known

    def __iter__(self) -> Iterator[Setting]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __getitem__(self, name: str) -> Setting:
        """Return one setting.

        Raises:
            UsageError: There is none of that name.
        """
        for about in self._known:
            if about.name == name:
                return about
        near = nearest(name, [about.name for about in self._known])
        raise UsageError(
            f"there is no setting {quote(name)}",
            hint=f"did you mean {near}?" if near else "print(mig.settings()) shows all of them",
        )

    def __repr__(self) -> str:
        return f"SettingsTable({len(self)} settings)"

    def groups(self) -> Iterator[tuple[Group, tuple[Setting, ...]]]:
        """Give each group with its settings, in the order of the printed table."""
        for group in Group:
            yield group, tuple(about for about in self if about.group is group)

    def __str__(self) -> str:
        lines: list[str] = []
        for group, members in self.groups():
            lines += [group.value, ""]
            for about in members:
                lines += [f"  {about.name}", f"      {about.meaning}"]
                lines += [f"      {label}: {text}" for label, text in _details(about)]
            lines.append("")
        return "\n".join(lines).rstrip()

    def _repr_html_(self) -> str:
        left = "style='text-align:left;white-space:normal'"  # JupyterLab's own choice is the right
        rows = []
        for group, members in self.groups():
            name = f"<b>{html.escape(group)}</b>"
            rows.append(f'<tr><th colspan="5" scope="rowgroup" {left}>{name}</th></tr>')
            for about in members:
                cells = (
                    f"<code>{html.escape(about.name)}</code>",
                    html.escape(" ".join(filter(None, (about.meaning, about.constraints)))),
                    html.escape(about.takes),
                    _ACTS.get(about.kind) or _broken_code(about.libvirt),
                    html.escape(" ".join(text for _, text in _since(about))),
                )
                rows.append(f"<tr>{''.join(f'<td {left}>{cell}</td>' for cell in cells)}</tr>")
        heads = ("Setting", "Meaning", "Values", "libvirt", "Since")
        head = "".join(f'<th scope="col" {left}>{name}</th>' for name in heads)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"

    def frame(self) -> pd.DataFrame:
        """Return the table as a frame, one row a setting."""
        import pandas as pd  # noqa: PLC0415 - slow to load, and a plan needs none

        return pd.DataFrame([about.to_dict() for about in self]).set_index("name")


#: Who acts on what is neither flag nor parameter of libvirt's.
_ACTS = {
    Kind.ARGUMENT: "an argument of the call",
    Kind.POLICY: "the kit",
    Kind.KIT: "the kit",
}


def _broken_code(name: str) -> str:
    """Give a name as code that may go on in the next line: libvirt's are wider than a page."""
    return f"<code>{html.escape(name).replace('_', '_<wbr>').replace('.', '.<wbr>')}</code>"


def _details(about: Setting) -> Iterator[tuple[str, str]]:
    yield "values", f"{about.takes}{_default(about)}"
    if about.libvirt:
        yield "libvirt", f"{about.libvirt}{f' ({about.typed})' if about.typed else ''}"
    if about.virsh_options:
        yield "virsh", ", ".join(about.virsh_options)
    yield from _since(about)
    if about.constraints:
        yield "note", about.constraints


def _since(about: Setting) -> Iterator[tuple[str, str]]:
    words = [
        f"libvirt {about.since}" if about.since else "",
        f"QEMU {about.qemu}" * bool(about.qemu),
    ]
    if any(words):
        yield "since", ", ".join(filter(None, words))


def _default(about: Setting) -> str:
    default = about.default
    if default is None or default == ():
        return ""
    shown = ("yes" if default else "no") if isinstance(default, bool) else f"{default}"
    return f" (default: {shown})"
