"""What the notebooks show live: a panel to migrate with, steps as they happen, a drawing.

Nothing here decides, measures or migrates: a widget calls what a script could call. The only
package of the kit that imports IPython and ipywidgets; nothing of the kit imports it.
"""

from migrationlab.widgets.drawing import Drawing, draw
from migrationlab.widgets.panel import MigrationPanel
from migrationlab.widgets.progress import StepList, show_steps

__all__ = ["Drawing", "MigrationPanel", "StepList", "draw", "show_steps"]
