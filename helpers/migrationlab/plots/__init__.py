"""Figures of runs. Each says its message in its title, and in words for who cannot see it.

Draws on ``matplotlib.figure.Figure`` and never on pyplot, which keeps state between calls and
must not be touched from a widget's thread. Works from runs alone: no libvirt, no lab; nothing
here measures, that is the timeline's work.
"""

from migrationlab.plots.convergence import convergence
from migrationlab.plots.cost import cost
from migrationlab.plots.downtime import downtime
from migrationlab.plots.downtime_parts import downtime_parts
from migrationlab.plots.experiment import experiment
from migrationlab.plots.latency import latency
from migrationlab.plots.picture import Picture, style
from migrationlab.plots.progress import progress
from migrationlab.plots.sample_size import sample_size
from migrationlab.plots.timeline import timeline
from migrationlab.plots.wire import wire
from migrationlab.plots.workload import workload

__all__ = [
    "Picture",
    "convergence",
    "cost",
    "downtime",
    "downtime_parts",
    "experiment",
    "latency",
    "progress",
    "sample_size",
    "style",
    "timeline",
    "wire",
    "workload",
]
