"""What keeps runs; the public face is ``migrationlab.store``.

``disk`` puts files in their places whole or not at all, ``manifest`` is ``run.json``, ``tables``
the frames beside it.
"""
