from .cost import Cost
from .postcopy_faults import PostcopyFaults
from .service import ServiceView
from .timeline import Timeline
from .workload import Workload
from .write_latency import WriteLatency

__all__ = ["Cost", "PostcopyFaults", "ServiceView", "Timeline", "Workload", "WriteLatency"]
