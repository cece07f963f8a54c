from .run import Outcome, Run, RunError, Runs
from .store import load_run, load_runs, save_run

__all__ = ["Outcome", "Run", "RunError", "Runs", "load_run", "load_runs", "save_run"]
