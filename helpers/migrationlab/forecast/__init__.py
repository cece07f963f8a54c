"""Forecast a migration before it starts.

Owns the dirty curve, the simulations of pre-copy, forecasts with intervals, and the simple model
that explains them. Pure: it works from values and recorded runs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
