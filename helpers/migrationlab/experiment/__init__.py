"""Answer a question with many runs.

Owns the design of an experiment, its schedule, its files, and the statistics of its results.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
