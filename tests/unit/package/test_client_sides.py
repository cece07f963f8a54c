"""The table of the clients' three places follows from the recorded migrations."""

from __future__ import annotations

import json

from bench.client_sides import read, table
from bench.clients import row
from paths import ROOT


def test_reference_and_measurements_have_the_table_of_the_recorded_migrations() -> None:
    """Each line of the table made from ``data/client_sides.jsonl`` stands in both texts."""
    notebook = json.loads((ROOT / "notebooks" / "90_reference.ipynb").read_text("utf-8"))
    (cell,) = (each for each in notebook["cells"] if each["id"] == "client-sides-0")
    made = "\n".join(table(read(ROOT / "data" / "client_sides.jsonl")))
    assert made in "".join(cell["source"])
    assert made in (ROOT / "data" / "measurements.md").read_text("utf-8")


def test_measurements_have_the_recorded_cost_of_clients_and_probes() -> None:
    """The median and its interval are those of ``data/clients_pairs.jsonl``."""
    pairs = [
        (each["with_ms"], each["without_ms"])
        for each in read(ROOT / "data" / "clients_pairs.jsonl")
    ]
    _, _, value, interval, *_ = row(pairs).cells()
    text = (ROOT / "data" / "measurements.md").read_text("utf-8")
    assert f"changed by {value} (" in text
    assert f"interval {interval} %" in text
