from .experiment import Experiment
from .fault_folder import load_fault_matrix
from .results import Results

__all__ = ["Experiment", "Results", "load_fault_matrix"]
