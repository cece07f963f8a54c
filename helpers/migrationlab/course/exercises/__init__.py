"""The checks of the lessons' exercises, a module a lesson.

Each ``lesson_NN`` has ``CHECKS``: a function for each exercise's name, from the learner's own
result to a :class:`~migrationlab.course.feedback.Feedback`. Whatever a learner may have in the
answer is told of, never raised.
"""
