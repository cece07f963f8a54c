"""Run the course: the start of a lesson, its recorded runs, and the checks of its exercises.

This package starts no lab and shows nothing. A notebook calls ``lesson = course.start("04")``.
"""

from migrationlab.course.lesson import Lesson, start

__all__ = ["Lesson", "start"]
