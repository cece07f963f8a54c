"""Start a migration, follow it, change it while it runs, and finish it.

Owns the calls of libvirt that migrate. What records a migration is ``capture``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
