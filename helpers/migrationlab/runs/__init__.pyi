from .importers import ImportedRun, read_result
from .run import Outcome, Run, RunError, Runs
from .store import load_run, load_runs, save_run
from .summaries import load_summaries

__all__ = [
    "ImportedRun", "Outcome", "Run", "RunError", "Runs", "load_run", "load_runs",
    "load_summaries", "read_result", "save_run",
]  # fmt: skip
