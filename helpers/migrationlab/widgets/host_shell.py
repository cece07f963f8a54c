"""Ask a host: a list of commands that only read, and the answers of one host or of both.

What there is to ask, and who answers, is ``course.looks``'; here it is shown. Hosts are asked by
a painter, so that a slow one holds nobody up, and only the latest question is answered.
"""

from __future__ import annotations

import html
from typing import Any

import ipywidgets as widgets

from migrationlab.course.host_commands import BY_KEY, HOST_COMMANDS, HostCommand, Hosts
from migrationlab.errors import MigrationLabError
from migrationlab.hosts.program import ProgramResult
from migrationlab.widgets import markup
from migrationlab.widgets.background_renderer import BackgroundRenderer

BOTH = "both"
_BOX = "padding:0.5em 0.7em;background:#F4F6F8;color:#222222;line-height:1.35"
# A long command wraps, and leaves the width to the answers: those that are narrow stand side by
# side, wide ones one below the other.
_COMMAND = "white-space:pre-wrap;margin:0;width:0;min-width:100%"
_ANSWER = "white-space:pre;overflow-x:auto;margin:0"


class HostShell:
    """Runs a command of the list on a host when its button is pressed, and shows the answer.

    Args:
        hosts: The hosts, ``LiveHosts(lab)`` or ``RecordedHosts.load()``.
        look: The key of the command to begin with.
    """

    def __init__(self, hosts: Hosts, look: str = "guests") -> None:
        self._hosts = hosts
        self._painter = BackgroundRenderer("host-shell")
        self.host = widgets.RadioButtons(
            options=[*hosts.names, BOTH],
            value=BOTH,
            description="Ask",
            orientation="horizontal",
            style={"description_width": "3em"},
            layout=widgets.Layout(width="max-content"),
        )
        self.buttons = {each.key: self._button(each) for each in HOST_COMMANDS}
        self.answer = widgets.HTML(layout=widgets.Layout(width="98%"))
        self._look = BY_KEY[look]
        self._box = widgets.VBox(
            [
                self.host,
                widgets.HBox(
                    list(self.buttons.values()), layout=widgets.Layout(flex_flow="row wrap")
                ),
                self.answer,
            ],
            layout=widgets.Layout(width="100%"),
        )
        self.host.observe(lambda _change: self.ask(self._look.key), names="value")
        self.ask(look)

    def __repr__(self) -> str:
        how = "live" if self._hosts.live else "recorded"
        return f"HostShell({', '.join(self._hosts.names)}, {how})"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, Any]:
        """Give the live widget, and for readers of a saved notebook its first answer."""
        self.wait(10)
        bundle: dict[str, Any] = self._box._repr_mimebundle_()
        note = markup.note("The buttons are live: run this cell to use them.")
        return {**bundle, "text/plain": repr(self), "text/html": note + self.answer.value}

    def ask(self, look: str) -> None:
        """Ask the chosen host, or both, in place of any question that waits; returns at once.

        Args:
            look: The command's key.
        """
        self._look = asked = BY_KEY[look]
        names = self._hosts.names if self.host.value == BOTH else (self.host.value,)
        self.answer.value = markup.status(f"Asking {', '.join(names)}: {asked.line}")
        self._painter.ask(lambda: self._answer(asked, names))

    def wait(self, timeout_s: float) -> bool:
        """Wait for the answer; return whether it came."""
        return self._painter.wait(timeout_s)

    def close(self) -> None:
        """Ask nothing more."""
        self._painter.close()

    def _button(self, look: HostCommand) -> widgets.Button:
        button = widgets.Button(
            description=look.title, tooltip=look.line, layout=widgets.Layout(width="auto")
        )
        button.on_click(lambda _button: self.ask(look.key))
        return button

    def _answer(self, look: HostCommand, names: tuple[str, ...]) -> None:
        try:
            answers = {name: self._hosts.ask(name, look.key) for name in names}
        except MigrationLabError as error:
            self.answer.value = markup.status(str(error), hint=error.hint, bad=True)
        except Exception as error:  # noqa: BLE001 (else an earlier answer would stand for this one)
            self.answer.value = markup.status(f"{type(error).__name__}: {error}", bad=True)
        else:
            self.answer.value = shown(look, answers)


def shown(look: HostCommand, answers: dict[str, ProgramResult]) -> str:
    """Give the answers of hosts to a command, side by side where there is room.

    Args:
        look: The command.
        answers: By host.
    """
    parts = (
        f'<div style="flex:1 1 auto;box-sizing:border-box;max-width:100%;{_BOX}">'
        f'<pre style="{_COMMAND}"><b>root@{html.escape(name)}:~# {html.escape(look.line)}</b></pre>'
        f'<pre style="{_ANSWER}">{html.escape(answer.text)}{_status(answer)}</pre></div>'
        for name, answer in answers.items()
    )
    return (
        f'<div role="status" style="line-height:1.45">{html.escape(look.about)}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:0.6em">{"".join(parts)}</div>'
    )


def _status(answer: ProgramResult) -> str:
    return f"\n(exit status {answer.status})" if answer.status else ""
