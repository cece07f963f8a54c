from .metrics_text import prometheus as prometheus
from .ro_crate import export
from .write import write

__all__ = ["export", "prometheus", "write"]
