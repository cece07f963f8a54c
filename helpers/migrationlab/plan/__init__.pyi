from .plan import Plan
from .problem import Problem
from .settings import settings
from .uris import Mode

__all__ = ["Mode", "Plan", "Problem", "settings"]
