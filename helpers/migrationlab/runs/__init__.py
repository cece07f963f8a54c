"""Keep the record of a migration.

Owns the content of a run, the schema of its frames and of its summary, the rule which runs may be
pooled, and the format on disk.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
