"""Figures of runs. Each says its message in its title, and in words for who cannot see it.

Draws on ``matplotlib.figure.Figure`` and never on pyplot, which keeps state between calls and
must not be touched from a widget's thread. Works from runs alone: no libvirt, no lab; nothing
here measures, that is the timeline's work.
"""

from migrationlab.plots._convergence import convergence
from migrationlab.plots._cost import cost
from migrationlab.plots._downtime import downtime
from migrationlab.plots._experiment import experiment
from migrationlab.plots._growth import growth
from migrationlab.plots._latency import latency
from migrationlab.plots._parts import downtime_parts
from migrationlab.plots._progress import progress
from migrationlab.plots._timeline import timeline
from migrationlab.plots._wire import wire
from migrationlab.plots._workload import workload
from migrationlab.plots.picture import Picture, style

__all__ = [
    "Picture",
    "convergence",
    "cost",
    "downtime",
    "downtime_parts",
    "experiment",
    "growth",
    "latency",
    "progress",
    "style",
    "timeline",
    "wire",
    "workload",
]
