from .drawing import Drawing, draw
from .panel import MigrationPanel
from .prediction import Prediction
from .progress import StepList, show_steps
from .run_explorer import RunExplorer
from .uri_explorer import UriExplorer

__all__ = [
    "Drawing",
    "MigrationPanel",
    "Prediction",
    "RunExplorer",
    "StepList",
    "UriExplorer",
    "draw",
    "show_steps",
]
