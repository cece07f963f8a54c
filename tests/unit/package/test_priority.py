"""The figures of what priority is worth follow from the recorded pairs."""

from __future__ import annotations

import json

from migrationlab.experiment.statistics import estimate
from paths import ROOT


def test_reference_and_measurements_quote_the_recorded_pairs() -> None:
    """The median, its interval and n are those of ``data/priority.jsonl``."""
    lines = (ROOT / "data" / "priority.jsonl").read_text().splitlines()
    pairs = [json.loads(line)["pair_ms"] for line in lines]
    about = estimate([normal - first for first, normal in pairs])
    assert about.low is not None
    assert about.high is not None
    said = f"{about.median:.0f} ms", f"interval {about.low:.0f} to", f"{about.high:.0f} ms"
    notebook = json.loads((ROOT / "notebooks" / "90_reference.ipynb").read_text())
    (cell,) = (each for each in notebook["cells"] if each["id"] == "downtimes-0")
    for text in ((ROOT / "data" / "measurements.md").read_text(), "".join(cell["source"])):
        assert all(words in text for words in said)
        assert str(len(pairs)) in text
