from .given_call import GivenCall
from .plan import Plan
from .problem import Problem
from .read_call import read_call
from .settings import settings
from .uris import Mode

__all__ = ["GivenCall", "Mode", "Plan", "Problem", "read_call", "settings"]
