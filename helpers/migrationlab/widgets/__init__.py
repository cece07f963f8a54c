"""Show panels, progress and drawings in the notebooks.

A widget decides, measures and migrates nothing: it calls functions that a script could call.
``base`` has the shared parts; ``views`` and ``templates`` make the HTML. Names are loaded when
first used, so that widgets of recorded runs need no libvirt; ``__init__.pyi`` lists the names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
