from . import crate, plots, report
from .doctor import doctor
from .errors import (
    GuestError,
    HostError,
    LabError,
    MigrationLabError,
    PlanError,
    StoreError,
    UsageError,
)
from .experiment import Experiment
from .explain import Explanation, explain
from .hosts import Host
from .lab.lab import Lab
from .migrate import migrate, start
from .migration import Migration, Progress
from .plan import Plan
from .preflight import preflight
from .runs import Outcome, Run, Runs
from .settings import settings
from .steps import Step
from .store import load_run, load_runs, save_run
from .uris import Mode, Problem

__all__ = [
    "Experiment",
    "Explanation",
    "GuestError",
    "Host",
    "HostError",
    "Lab",
    "LabError",
    "Migration",
    "MigrationLabError",
    "Mode",
    "Outcome",
    "Plan",
    "PlanError",
    "Problem",
    "Progress",
    "Run",
    "Runs",
    "Step",
    "StoreError",
    "UsageError",
    "crate",
    "doctor",
    "explain",
    "load_run",
    "load_runs",
    "migrate",
    "plots",
    "preflight",
    "report",
    "save_run",
    "settings",
    "start",
]
