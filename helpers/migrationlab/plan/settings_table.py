"""Show the table of settings: as text, as HTML in a notebook, as a frame."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

from migrationlab.errors import UsageError
from migrationlab.plan.qemu_own import UNOFFERED
from migrationlab.plan.setting import Group, Setting, SettingKind
from migrationlab.plan.wording import nearest, quote

if TYPE_CHECKING:
    import pandas as pd


#: The heading of the last rows of the printed table.
OWN = "QEMU's own, which libvirt does not offer"


class SettingsTable:
    """Every setting of a migration: prints as text, as HTML in a notebook, and gives a frame."""

    def __init__(self, known: tuple[Setting, ...]) -> None:
        self._known = known

    def __iter__(self) -> Iterator[Setting]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def __getitem__(self, name: str) -> Setting:
        """Return one setting; UsageError if no setting has that name."""
        for about in self._known:
            if about.name == name:
                return about
        near = nearest(name, [about.name for about in self._known])
        raise UsageError(
            f"name must be a setting of a plan (got {quote(name)})",
            hint=f"Use {near}." if near else "List the settings with print(mig.settings()).",
        )

    def __repr__(self) -> str:
        return f"SettingsTable({len(self)} settings)"

    def groups(self) -> Iterator[tuple[Group, tuple[Setting, ...]]]:
        """Yield each group with its settings, in the order of the printed table."""
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
        lines += [OWN, ""]
        for own in UNOFFERED:
            lines += [f"  {own.name} ({own.kind})", f"      {own.meaning}"]
            lines.append(f"      since: {own.versions}")
        return "\n".join(lines).rstrip()

    def _repr_html_(self) -> str:
        left = "style='text-align:left;white-space:normal'"  # JupyterLab aligns right
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
        rows.append(f'<tr><th colspan="5" scope="rowgroup" {left}><b>{OWN}</b></th></tr>')
        for own in UNOFFERED:
            name = f"<code>{html.escape(own.name)}</code>"
            cells = (name, html.escape(own.meaning), f"{own.kind} of QEMU", "none", own.versions)
            rows.append(f"<tr>{''.join(f'<td {left}>{cell}</td>' for cell in cells)}</tr>")
        heads = ("Setting", "Meaning", "Values", "libvirt", "Since")
        head = "".join(f'<th scope="col" {left}>{name}</th>' for name in heads)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"

    def frame(self) -> pd.DataFrame:
        """Return the table as a frame, one row per setting."""
        import pandas as pd  # noqa: PLC0415 - slow to import, and a plan needs none

        return pd.DataFrame([about.to_dict() for about in self]).set_index("name")


#: The actor of each setting that is neither a flag nor a parameter of libvirt.
_ACTS = {
    SettingKind.ARGUMENT: "an argument of the call",
    SettingKind.POLICY: "migrationlab",
    SettingKind.MIGRATIONLAB: "migrationlab",
}


def _broken_code(name: str) -> str:
    """Return a name as code that may break into lines: libvirt's are wider than a page."""
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
    versions = (("libvirt", about.since), ("QEMU", about.qemu))
    if words := ", ".join(f"{what} {version}" for what, version in versions if version):
        yield "since", words


def _default(about: Setting) -> str:
    default = about.default
    if default is None or default == ():
        return ""
    shown = ("yes" if default else "no") if isinstance(default, bool) else f"{default}"
    return f" (default: {shown})"
