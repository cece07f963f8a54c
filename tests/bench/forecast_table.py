"""Write the forecasts of a curve of the public form: six limits, eight bandwidths, two rules.

``tests/unit/forecast/test_forecast.py`` compares the model with them. Write them again only when
the model is meant to change: ``PYTHONPATH=helpers:tests python tests/bench/forecast_table.py``.
"""

from __future__ import annotations

import json

from migrationlab import DirtyCurve, Plan, forecast
from paths import ROOT

FILE = ROOT / "tests" / "unit" / "forecast" / "public_curve.json"
#: A made-up guest of 16 GiB with a hot part: the form is public, the numbers are nobody's.
CURVE = {
    "period_ms": [100, 500, 1000, 5000, 30000], "dirty_pages": [40, 90, 120, 200, 260],
    "sampled_pages": 4096, "zero_pages": 800, "total_pages": 4194304, "page_bytes": 4096,
}  # fmt: skip
LIMITS_MS = (125, 250, 500, 1000, 5000, 2_000_000)
BANDWIDTHS_MBIT_S = (100, 1000, 2000, 2500, 5000, 10000, 25000, 40000)


def main() -> None:
    """Write the file."""
    curve = DirtyCurve.from_json(json.dumps(CURVE))
    rows = []
    for mbit_s in BANDWIDTHS_MBIT_S:
        row: dict[str, object] = {"bandwidth_mbit_s": mbit_s}
        for rule in ("qemu", "per-iteration"):
            told = [
                forecast(
                    Plan(max_downtime_ms=limit), curve, bandwidth_mbit_s=mbit_s,
                    stop_rule=rule, draws=0,  # type: ignore[arg-type]
                )
                for limit in LIMITS_MS
            ]  # fmt: skip
            row[rule] = [[one.ends, one.total_s.median] for one in told]
        rows.append(row)
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    FILE.write_text(
        f'{{"curve": {json.dumps(CURVE)},\n "limits_ms": {json.dumps(LIMITS_MS)},\n'
        f' "rows": [\n{lines}\n ]}}\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
