"""What the notebooks show live: panels to play with, steps as they happen, drawings.

Nothing here decides, measures or migrates: a widget calls what a script could call. The only
package of the kit that imports IPython and ipywidgets; nothing of the kit imports it. Names are
loaded when first used, so that those which work on recorded runs need no libvirt;
``__init__.pyi`` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
