from .doctor import doctor
from .preflight import preflight

__all__ = ["doctor", "preflight"]
