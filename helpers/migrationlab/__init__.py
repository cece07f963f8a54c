"""migrationlab: learn, measure and document libvirt live migration.

Two real hypervisor hosts on this machine, without root; real migrations between them, or
between hosts of your own; and what was measured, stored, drawn and explained::

    import migrationlab as mig

    with mig.Lab() as lab:
        guest = lab.boot()
        run = mig.migrate(guest, to=lab.host_b, plan=mig.Plan(mode="peer2peer"))
        print(run.summary())

Names are loaded when first used: importing the package is quick, and reading recorded runs needs
no libvirt.
"""

from typing import TYPE_CHECKING

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["plots", "report"],
    submod_attrs={
        "checks": ["doctor", "preflight"],
        "errors": [
            "GuestError",
            "HostError",
            "LabError",
            "MigrationLabError",
            "PlanError",
            "StoreError",
            "UsageError",
        ],
        "experiment": ["Experiment", "load_fault_matrix"],
        "explain": ["Explanation", "JobAnswer", "explain", "explain_job"],
        "forecast": ["Advice", "DirtyCurve", "Forecast", "Memory", "advise", "forecast"],
        "hosts": ["Host"],
        "lab": ["Lab"],
        "migrate": [
            "Migration",
            "Progress",
            "Recovery",
            "measure_dirty_rate",
            "migrate",
            "recover",
            "start",
        ],
        "plan": ["GivenCall", "Mode", "Plan", "Problem", "read_call", "settings"],
        "runs": [
            "Outcome",
            "Run",
            "Runs",
            "load_run",
            "load_runs",
            "load_summaries",
            "read_result",
            "save_run",
        ],
        "steps": ["Step"],
    },
)

if TYPE_CHECKING:  # the same names, for type checkers and editors
    from . import plots as plots
    from . import report as report
    from .checks import doctor as doctor
    from .checks import preflight as preflight
    from .errors import GuestError as GuestError
    from .errors import HostError as HostError
    from .errors import LabError as LabError
    from .errors import MigrationLabError as MigrationLabError
    from .errors import PlanError as PlanError
    from .errors import StoreError as StoreError
    from .errors import UsageError as UsageError
    from .experiment import Experiment as Experiment
    from .experiment import load_fault_matrix as load_fault_matrix
    from .explain import Explanation as Explanation
    from .explain import JobAnswer as JobAnswer
    from .explain import explain as explain
    from .explain import explain_job as explain_job
    from .forecast import Advice as Advice
    from .forecast import DirtyCurve as DirtyCurve
    from .forecast import Forecast as Forecast
    from .forecast import Memory as Memory
    from .forecast import advise as advise
    from .forecast import forecast as forecast
    from .hosts import Host as Host
    from .lab import Lab as Lab
    from .migrate import Migration as Migration
    from .migrate import Progress as Progress
    from .migrate import Recovery as Recovery
    from .migrate import measure_dirty_rate as measure_dirty_rate
    from .migrate import migrate as migrate
    from .migrate import recover as recover
    from .migrate import start as start
    from .plan import GivenCall as GivenCall
    from .plan import Mode as Mode
    from .plan import Plan as Plan
    from .plan import Problem as Problem
    from .plan import read_call as read_call
    from .plan import settings as settings
    from .runs import Outcome as Outcome
    from .runs import Run as Run
    from .runs import Runs as Runs
    from .runs import load_run as load_run
    from .runs import load_runs as load_runs
    from .runs import load_summaries as load_summaries
    from .runs import read_result as read_result
    from .runs import save_run as save_run
    from .steps import Step as Step
