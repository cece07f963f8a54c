"""The table of causes that :mod:`migrationlab.explain` reads: data, most specific first.

A text can hold several messages, one about the other. The first cause of the table that fits
wins, so the order is: what names its reason, then what only reports that something ended, then
what libvirt's code alone tells.

Read from the sources of libvirt 9.0.0, 10.0.0 and 11.3.0 and of QEMU 7.2, 10.0 and 10.2, and
from the messages that the lab's broken cases gave. Imports nothing of the kit but its own parts.
"""

from __future__ import annotations

from migrationlab.explain.cause import Cause, Log, NoticedBy
from migrationlab.explain.causes.addresses import ADDRESSES
from migrationlab.explain.causes.disks import DISKS
from migrationlab.explain.causes.general import GENERAL
from migrationlab.explain.causes.guests import GUESTS
from migrationlab.explain.causes.parameters import PARAMETERS
from migrationlab.explain.causes.places import PLACES
from migrationlab.explain.causes.plans import PLANS
from migrationlab.explain.causes.postcopy import POSTCOPY
from migrationlab.explain.causes.rights import RIGHTS
from migrationlab.explain.causes.running import RUNNING
from migrationlab.explain.causes.trust import TRUST

__all__ = ["TABLE", "Cause", "Log", "NoticedBy"]

TABLE: tuple[Cause, ...] = (
    *RIGHTS,
    *TRUST,
    *ADDRESSES,
    *PLANS,
    *PARAMETERS,
    *POSTCOPY,
    *GUESTS,
    *DISKS,
    *PLACES,
    *RUNNING,
    *GENERAL,
)
