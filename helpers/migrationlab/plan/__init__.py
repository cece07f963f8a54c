"""Describe how to migrate, and judge whether that can work.

Owns the settings and their rules, plans, URIs, and the virsh line of a plan. Works from values
and texts alone: no libvirt, no host.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
