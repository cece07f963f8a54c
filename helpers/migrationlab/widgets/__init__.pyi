from .convergence_explorer import ConvergenceExplorer
from .error_explorer import ErrorExplorer
from .host_shell import HostShell
from .hosts_form import HostsForm
from .panel import MigrationPanel
from .prediction import Prediction
from .progress import StepList, show_steps
from .questions import Questions
from .run_explorer import RunExplorer
from .sample_size import SampleSize
from .uri_explorer import UriExplorer
from .views.topology_svg import Drawing, draw

__all__ = [
    "ConvergenceExplorer",
    "Drawing",
    "ErrorExplorer",
    "HostShell",
    "HostsForm",
    "MigrationPanel",
    "Prediction",
    "Questions",
    "RunExplorer",
    "SampleSize",
    "StepList",
    "UriExplorer",
    "draw",
    "show_steps",
]
