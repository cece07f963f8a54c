from .dirty_rate import measure_dirty_rate
from .migration import Migration, Progress
from .recovery_steps import Recovery, recover
from .start import migrate, start

__all__ = ["Migration", "Progress", "Recovery", "measure_dirty_rate", "migrate", "recover", "start"]
