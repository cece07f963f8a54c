from .advice import Advice, advise
from .calibration import Calibration, calibrate
from .case import Constants, Memory
from .curve import DirtyCurve
from .forecast import forecast
from .precopy import Precopy
from .result import Forecast, Interval

__all__ = [
    "Advice",
    "Calibration",
    "Constants",
    "DirtyCurve",
    "Forecast",
    "Interval",
    "Memory",
    "Precopy",
    "advise",
    "calibrate",
    "forecast",
]
