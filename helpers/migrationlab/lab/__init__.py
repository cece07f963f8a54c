"""Run two real hypervisor hosts on this machine, without root.

Owns the hosts, the wire and the LAN between them, guests, workloads and faults. The only package
that knows namespaces. ``payload/`` holds what runs inside.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
