from .cost import Cost
from .service import ServiceView
from .timeline import Timeline
from .workload import Workload

__all__ = ["Cost", "ServiceView", "Timeline", "Workload"]
