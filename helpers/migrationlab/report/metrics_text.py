"""Write the numbers of runs as Prometheus's text, for a dashboard beside others.

Source: Prometheus, "Text-based exposition format", version 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable

from migrationlab.runs.run import Run
from migrationlab.runs.schema import METRICS

#: The facts of a run that become labels.
LABELS = ("run_id", "mode", "outcome", "source", "destination", "accelerator")


def prometheus(runs: Iterable[Run]) -> str:
    """Return the summaries of runs as Prometheus's text: a gauge for each number.

    A number that a run does not have is left out. Units stay in the names, as in a summary.
    """
    summaries = [run.summary() for run in runs]
    lines: list[str] = []
    for name, about in METRICS.items():
        if about.type not in ("Int64", "Float64"):
            continue
        rows = [
            f"migrationlab_{name}{{{_labels(summary)}}} {float(summary[name]):g}"
            if not float(summary[name]).is_integer()
            else f"migrationlab_{name}{{{_labels(summary)}}} {int(summary[name])}"
            for summary in summaries
            if summary[name] is not None
        ]
        if rows:
            meaning = about.meaning.replace("\\", "\\\\").replace("\n", " ")
            lines += [
                f"# HELP migrationlab_{name} {meaning}",
                f"# TYPE migrationlab_{name} gauge",
                *rows,
            ]
    return "".join(f"{line}\n" for line in lines)


def _labels(summary: dict[str, object]) -> str:
    return ",".join(
        f'{name}="{_escaped(str(summary[name]))}"' for name in LABELS if name in summary
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
