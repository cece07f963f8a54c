"""Work out figures from what was recorded of a migration.

Owns the timeline and its phases, the five kinds of downtime, latency, cost, and the guest's
workload. Pure functions of plain frames: this package imports no other, opens no file and asks
no clock, so a recording gives the same answer on any machine.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
