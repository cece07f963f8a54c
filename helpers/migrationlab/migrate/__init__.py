"""Start a migration, follow it, change it while it runs, and finish it.

Owns the calls of libvirt that migrate, and the one record that goes through all four steps:
``start`` prepares it, ``migration`` and ``controller`` fill it, ``finish`` makes the run of it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
