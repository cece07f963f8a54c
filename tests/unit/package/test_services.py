"""The tables of services follow from what was recorded of them."""

from __future__ import annotations

from bench.client_sides import read
from bench.service_table import recorded, tables
from bench.services import rows
from paths import ROOT

TEXT = (ROOT / "data" / "measurements.md").read_text("utf-8")


def test_measurements_have_what_clients_of_services_noticed() -> None:
    """The tables are those of the runs in ``data/experiments/services``."""
    assert "\n".join(tables(recorded())) in TEXT


def test_measurements_have_how_fast_services_start_and_answer() -> None:
    """Each line of the table is that of ``data/service_rates.jsonl``."""
    for row in rows(read(ROOT / "data" / "service_rates.jsonl")):
        assert f"| {' | '.join(row.cells())} |\n" in TEXT
