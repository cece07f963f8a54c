"""Prometheus's text of runs."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from migrationlab.cli import main
from migrationlab.report.metrics_text import prometheus
from migrationlab.runs.schema import METRICS
from migrationlab.runs.store import load_runs
from paths import DATA

LINE = re.compile(r'migrationlab_(\w+)\{(\w+="(?:[^"\\]|\\.)*",?)+\} -?\d+(\.\d+)?(e[+-]?\d+)?')


def test_every_line_has_the_format() -> None:
    """Each number is one line with its labels, after its HELP and TYPE."""
    runs = load_runs(DATA / "runs")
    lines = prometheus(runs).splitlines()
    numbers = [line for line in lines if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in numbers)
    names = {LINE.fullmatch(line)[1] for line in numbers}  # type: ignore[index]
    assert names <= METRICS.keys()
    totals = [line for line in numbers if line.startswith("migrationlab_total_ms{")]
    assert len(totals) == len(runs)
    assert f" {runs[0].summary()['total_ms']}" in totals[0]


def test_export_writes_it(tmp_path: Path) -> None:
    """A path that ends in .prom gets the text."""
    path = tmp_path / "runs.prom"
    assert CliRunner().invoke(main, ["export", str(DATA / "runs"), "-o", str(path)]).exit_code == 0
    assert path.read_text("utf-8").startswith("# HELP migrationlab_")
