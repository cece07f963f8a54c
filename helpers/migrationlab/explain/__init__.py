"""Explain what an error message of libvirt or QEMU means, and how to fix it.

Owns the causes, which are data in ``causes/``, and how a message is matched with them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
