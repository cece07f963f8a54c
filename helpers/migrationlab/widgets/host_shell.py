"""Run commands that only read, on one host or on both, and show the answers side by side.

``course.host_commands`` owns the commands and the hosts. Hosts are asked in the background, so that
a slow host does not block the notebook; only the newest question is answered.
"""

from __future__ import annotations

import ipywidgets as widgets

from migrationlab.course.host_commands import BY_KEY, HOST_COMMANDS, HostCommand, Hosts
from migrationlab.widgets import fields
from migrationlab.widgets.base import LiveWidget
from migrationlab.widgets.views import messages
from migrationlab.widgets.views.template import fill

BOTH = "both"
#: The time to wait for the first answer, which a saved notebook shows.
FIRST_ANSWER_S = 10


class HostShell(LiveWidget):
    """Runs a command of the list on a host when its button is pressed, and shows the answer.

    Args:
        hosts: The hosts, ``LiveHosts(lab)`` or ``RecordedHosts.load()``.
        command: The key of the command to begin with; the buttons are those of its lesson.
    """

    def __init__(self, hosts: Hosts, command: str = "guests") -> None:
        super().__init__()
        self._hosts = hosts
        self._command = BY_KEY[command]
        shown = [each for each in HOST_COMMANDS if each.lesson == self._command.lesson]
        self.host = fields.radio(
            "Ask", [*hosts.names, BOTH], value=BOTH, label="3em", width="max-content"
        )
        self.buttons = {each.key: self._button(each) for each in shown}
        self.answer = widgets.HTML(layout=widgets.Layout(width="98%"))
        self._lay_out(self.host, fields.row(*self.buttons.values()), self.answer)
        fields.on_change(lambda: self.ask(self._command.key), self.host)
        self.ask(command)

    def __repr__(self) -> str:
        how = "live" if self._hosts.live else "recorded"
        return f"HostShell({', '.join(self._hosts.names)}, {how})"

    def _static_html(self) -> str:
        self.wait(FIRST_ANSWER_S)
        answer: str = self.answer.value
        return answer

    def ask(self, key: str) -> None:
        """Ask the chosen host, or both, in place of a waiting question; return at once."""
        self._command = command = BY_KEY[key]
        names = self._hosts.names if self.host.value == BOTH else (self.host.value,)
        self.answer.value = messages.status(f"Asking {', '.join(names)}: {command.line}")
        self._draw_into(self.answer, lambda: self._answers(command, names))

    def _answers(self, command: HostCommand, names: tuple[str, ...]) -> str:
        try:
            answers = {name: self._hosts.ask(name, command.key) for name in names}
        except OSError as error:  # the way to a host's shell is broken
            return messages.status(f"{type(error).__name__}: {error}", bad=True)
        return fill("host_answers.html", command=command, answers=answers)

    def _button(self, command: HostCommand) -> widgets.Button:
        return fields.button(
            command.title,
            lambda: self.ask(command.key),
            tooltip=command.line,
            layout=widgets.Layout(width="auto"),
        )
