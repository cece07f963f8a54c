"""Find missing requirements before anything moves.

Owns the doctor of this machine, the preflight of a migration, and the hosts' capabilities.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
