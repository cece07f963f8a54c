from .cost import Cost
from .service import ServiceView
from .timeline import Timeline
from .workload import Workload
from .write_latency import WriteLatency

__all__ = ["Cost", "ServiceView", "Timeline", "Workload", "WriteLatency"]
