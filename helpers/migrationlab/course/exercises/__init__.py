"""Check the exercises of the lessons, one module for each lesson.

Each ``lesson_NN`` has ``CHECKS``: for each exercise's name, a function from the learner's result to
a :class:`~migrationlab.course.feedback.Feedback`. The function takes any object, and refuses an
unusable object with feedback (``course.answers``).
"""
