from .experiment import Experiment
from .results import Results

__all__ = ["Experiment", "Results"]
