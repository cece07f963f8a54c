from .precopy import Forecast, Precopy

__all__ = ["Forecast", "Precopy"]
