from .cost import Cost
from .timeline import Timeline
from .workload import Workload

__all__ = ["Cost", "Timeline", "Workload"]
