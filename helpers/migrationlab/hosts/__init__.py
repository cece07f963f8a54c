"""Talk to a host through libvirt, or in a shell on it.

Owns connections, what a host says of itself, domain XML, counters and logs. Knows no lab.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
