"""The course: what a lesson starts with, the recorded runs that it plays on, and its checks.

Pure but for asking whether this machine can have a lab: it starts none, and imports
neither IPython nor ipywidgets. A notebook says ``lesson = course.start("04")`` and goes on with
that.
"""

from migrationlab.course.lesson import Lesson, start

__all__ = ["Lesson", "start"]
