"""Describe a migration, and check whether it can work: plans, settings, rules, URIs.

Owns the settings and the rules that bind them, the validation of plans, the parser of URIs, and
the virsh command of a plan. Works from values and texts alone, without libvirt and without hosts.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
