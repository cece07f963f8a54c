"""Ask the quick questions of a lesson: a choice shows at once why it is right or wrong."""

from __future__ import annotations

from functools import partial

import ipywidgets as widgets

from migrationlab.course.lesson import Lesson
from migrationlab.course.questions import Question
from migrationlab.widgets import fields
from migrationlab.widgets.base import LiveWidget
from migrationlab.widgets.views.template import fill

#: The style of options that may need several lines.
STYLE = "migrationlab-options"


class Questions(LiveWidget):
    """The quick questions of a lesson.

    Its saved form lists the questions without the answers. ``lesson.check_question(1, "b")`` checks
    an answer without this widget.

    Args:
        lesson: The lesson.

    Raises:
        UsageError: The lesson has no quick questions.
    """

    def __init__(self, lesson: Lesson) -> None:
        super().__init__()
        self._lesson, self._questions = lesson, lesson.questions()
        self.choices = [self._radio(question) for question in self._questions]
        self.feedback = [widgets.HTML() for _ in self._questions]
        rows = zip(self._questions, self.choices, self.feedback, strict=True)
        parts: list[widgets.Widget] = [widgets.HTML(fill("radio_style.html", name=STYLE))]
        for number, (question, choice, shown) in enumerate(rows, 1):
            fields.on_change(partial(self._answer, number), choice)
            title = fill("question.html", question=f"{number}. {question.text}", answer="")
            parts += [widgets.HTML(title), choice, shown]
        self._lay_out(*parts)

    def __repr__(self) -> str:
        return f"Questions({self._lesson.number!r}, {len(self._questions)})"

    @staticmethod
    def _radio(question: Question) -> widgets.RadioButtons:
        made = widgets.RadioButtons(
            options=[(f"{letter}) {o.text}", letter) for letter, o in question.options.items()],
            value=None,
            layout=widgets.Layout(width="98%"),
        )
        made.add_class(STYLE)
        return made

    def _static_html(self) -> str:
        return fill("questions.html", questions=self._questions)

    def _static_text(self) -> str:
        return "\n".join(f"{number}. {each}" for number, each in enumerate(self._questions, 1))

    def _answer(self, number: int) -> None:
        """Show the feedback on the choice for a question."""
        with self._lock:
            feedback = self._lesson.check_question(number, self.choices[number - 1].value)
            self.feedback[number - 1].value = feedback._repr_html_()
