"""Explain error messages of libvirt and QEMU: the cause and the fix.

Owns the causes, which are data in ``causes/``, and the search for the cause of a message.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
