"""The checks of the lessons' exercises, one module for each lesson.

Each ``lesson_NN`` has ``CHECKS``: by an exercise's name, a function from the learner's result to a
:class:`~migrationlab.course.feedback.Feedback`. It accepts any object: what it cannot use, it
refuses with feedback (``course.answers``).
"""
