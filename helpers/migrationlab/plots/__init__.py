"""Draw figures of runs, with the message as title and a text for readers who cannot see them.

Figures are drawn on ``matplotlib.figure.Figure``, never with pyplot: pyplot keeps state between
calls, and a widget's thread must not touch it. Nothing here measures; ``analysis`` does.
"""

from migrationlab.plots.arena import arena
from migrationlab.plots.calibration import calibration
from migrationlab.plots.convergence import convergence
from migrationlab.plots.cost import cost
from migrationlab.plots.dirty_curve import dirty_curve
from migrationlab.plots.downtime import downtime
from migrationlab.plots.downtime_parts import downtime_parts
from migrationlab.plots.experiment import experiment
from migrationlab.plots.fault_matrix import fault_matrix
from migrationlab.plots.forecast import forecast
from migrationlab.plots.history import history
from migrationlab.plots.latency import latency
from migrationlab.plots.picture import Picture, style
from migrationlab.plots.policies import policies
from migrationlab.plots.probes import probes
from migrationlab.plots.progress import progress
from migrationlab.plots.release_matrix import release_matrix
from migrationlab.plots.sample_size import sample_size
from migrationlab.plots.service import service
from migrationlab.plots.timeline import timeline
from migrationlab.plots.wire import wire
from migrationlab.plots.workload import workload
from migrationlab.plots.write_latency import write_latency

__all__ = [
    "Picture",
    "arena",
    "calibration",
    "convergence",
    "cost",
    "dirty_curve",
    "downtime",
    "downtime_parts",
    "experiment",
    "fault_matrix",
    "forecast",
    "history",
    "latency",
    "policies",
    "probes",
    "progress",
    "release_matrix",
    "sample_size",
    "service",
    "style",
    "timeline",
    "wire",
    "workload",
    "write_latency",
]
