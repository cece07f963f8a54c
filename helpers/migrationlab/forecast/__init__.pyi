from .advice import Advice, advise
from .case import Constants, Memory
from .curve import DirtyCurve
from .forecast import forecast
from .precopy import Precopy
from .result import Forecast, Interval

__all__ = [
    "Advice",
    "Constants",
    "DirtyCurve",
    "Forecast",
    "Interval",
    "Memory",
    "Precopy",
    "advise",
    "forecast",
]
