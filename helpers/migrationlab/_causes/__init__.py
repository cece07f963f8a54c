"""The table of causes that :mod:`migrationlab.explain` reads: data, most specific first.

A text can hold several messages, one about the other. The first cause of the table that fits
wins, so the order is: what names its reason, then what only reports that something ended, then
what libvirt's code alone tells.

Read from the sources of libvirt 9.0.0, 10.0.0 and 11.3.0 and of QEMU 7.2, 10.0 and 10.2, and
from the messages that the lab's broken cases gave. Imports nothing of the kit but its own parts.
"""

from __future__ import annotations

from migrationlab._causes.addresses import ADDRESSES
from migrationlab._causes.disks import DISKS
from migrationlab._causes.general import GENERAL
from migrationlab._causes.guests import GUESTS
from migrationlab._causes.parameters import PARAMETERS
from migrationlab._causes.places import PLACES
from migrationlab._causes.plans import PLANS
from migrationlab._causes.postcopy import POSTCOPY
from migrationlab._causes.record import Cause, Log, NoticedBy
from migrationlab._causes.rights import RIGHTS
from migrationlab._causes.running import RUNNING
from migrationlab._causes.trust import TRUST

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
