"""Talk to a host through libvirt, and run programs on it or on this machine.

Owns connections, facts about hosts, domain XML, counters, logs, and the one subprocess runner.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
