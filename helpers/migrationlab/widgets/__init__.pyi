from .drawing import Drawing, draw
from .host_shell import HostShell
from .hosts_form import HostsForm
from .panel import MigrationPanel
from .playground import ConvergencePlayground
from .prediction import Prediction
from .progress import StepList, show_steps
from .run_explorer import RunExplorer
from .uri_explorer import UriExplorer

__all__ = [
    "ConvergencePlayground",
    "Drawing",
    "HostShell",
    "HostsForm",
    "MigrationPanel",
    "Prediction",
    "RunExplorer",
    "StepList",
    "UriExplorer",
    "draw",
    "show_steps",
]
