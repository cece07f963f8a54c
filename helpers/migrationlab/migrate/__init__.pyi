from .migration import Migration, Progress
from .recovery_steps import Recovery, recover
from .start import migrate, start

__all__ = ["Migration", "Progress", "Recovery", "migrate", "recover", "start"]
