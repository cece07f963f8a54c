from .ro_crate import export
from .write import write

__all__ = ["export", "write"]
