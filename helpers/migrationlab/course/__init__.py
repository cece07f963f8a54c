"""The course: what a lesson starts with, the recorded runs it uses, and the checks of exercises.

It starts no lab and shows nothing by itself. A notebook calls ``lesson = course.start("04")``.
"""

from migrationlab.course.lesson import Lesson, start

__all__ = ["Lesson", "start"]
