"""migrationlab: learn, measure and document libvirt live migration.

Two real hypervisor hosts on this machine, without root; real migrations between them, or
between hosts of your own; and what was measured, stored, drawn and explained::

    import migrationlab as mig

    with mig.Lab() as lab:
        guest = lab.boot()
        run = mig.migrate(guest, to=lab.host_b, plan=mig.Plan(mode="peer2peer"))
        print(run.summary())

Names are loaded when first used, so that importing the package is quick, and reading recorded
runs needs no libvirt. ``__init__.pyi`` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
