"""Compute figures from the recording of a migration.

Owns the timeline and its phases, the five kinds of downtime, latency, cost, and the guest's
workload. All functions are pure functions of plain frames: the package imports no other package,
opens no file and reads no clock, so a recording gives the same answer on any machine.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
