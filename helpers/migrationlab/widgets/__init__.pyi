from .drawing import Drawing, draw
from .error_explorer import ErrorExplorer
from .host_shell import HostShell
from .hosts_form import HostsForm
from .panel import MigrationPanel
from .playground import ConvergencePlayground
from .prediction import Prediction
from .progress import StepList, show_steps
from .run_explorer import RunExplorer
from .sample_size import SampleSize
from .uri_explorer import UriExplorer

__all__ = [
    "ConvergencePlayground",
    "Drawing",
    "ErrorExplorer",
    "HostShell",
    "HostsForm",
    "MigrationPanel",
    "Prediction",
    "RunExplorer",
    "SampleSize",
    "StepList",
    "UriExplorer",
    "draw",
    "show_steps",
]
