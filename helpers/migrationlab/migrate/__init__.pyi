from .migration import Migration, Progress
from .start import migrate, start

__all__ = ["Migration", "Progress", "migrate", "start"]
