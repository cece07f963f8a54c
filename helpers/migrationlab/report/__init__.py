"""Publish runs and experiments.

Owns the report (HTML, PDF), the tables (CSV), and the research object (RO-Crate).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
