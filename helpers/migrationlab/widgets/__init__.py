"""The widgets of the notebooks: panels to play with, steps as they happen, drawings.

A widget decides, measures and migrates nothing: it calls what a script could call. ``base`` has
what they share, ``views`` and ``templates`` what they show. Names are loaded when first used, so
that widgets of recorded runs need no libvirt; ``__init__.pyi`` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
