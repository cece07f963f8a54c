"""Read the cells of a design: crossed, named, refused."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import numpy as np
import pytest

from migrationlab.errors import PlanError, UsageError
from migrationlab.experiment.design import Design, read
from migrationlab.experiment.spec import to_toml
from migrationlab.plan.guest_spec import GuestSpec
from migrationlab.plan.plan import Plan
from migrationlab.plan.settings import settings
from migrationlab.plan.spec import options as fields_of
from migrationlab.plan.wire_spec import WireSpec

WHY = "Does peer2peer take longer?"


def design(**spec: Any) -> Design:
    """Read a design with the usual question."""
    return read({"question": WHY, **spec})


def names(found: Design) -> list[str]:
    """Return the names of a design's cells."""
    return [cell.name for cell in found.cells]


def test_alternatives_are_crossed() -> None:
    """Lists in plan, workload and wire span one cell for each combination, named by its values."""
    found = design(
        plan={"mode": ["normal", "peer2peer"], "max_downtime_ms": 200},
        workload={"dirty_mib_s": [10, 40.5]},
        wire={"wire_mbit_s": [1000, "unlimited"]},
    )
    assert found.factors == ("mode", "dirty_mib_s", "wire_mbit_s")
    assert len(found.cells) == 8
    assert names(found)[0] == "mode=normal, dirty_mib_s=10, wire_mbit_s=1000"
    assert names(found)[-1] == "mode=peer2peer, dirty_mib_s=40.5, wire_mbit_s=none"
    last = found.cells[-1]
    assert last.plan == Plan(mode="peer2peer", max_downtime_ms=200)
    assert last.workload == GuestSpec(dirty_mib_s=40.5)
    assert last.wire == WireSpec(rate_mbit_s=None)
    assert dict(last.setting) == {"mode": "peer2peer", "dirty_mib_s": 40.5, "wire_mbit_s": None}


def test_one_alternative_is_no_factor() -> None:
    """A value that all cells share is not in their names; a single cell is named "all"."""
    found = design(plan={"mode": ["peer2peer"]})
    assert found.factors == ()
    assert names(found) == ["all"]
    assert found.cells[0].plan.mode == "peer2peer"


def test_named_plans_are_one_factor() -> None:
    """Cells of named plans have the names of the plans."""
    found = design(plans={"pre-copy": {}, "post-copy": {"postcopy": True}})
    assert names(found) == ["pre-copy", "post-copy"]
    assert dict(found.cells[1].setting) == {"plan": "post-copy"}
    assert found.cells[1].plan == Plan(postcopy=True)


def test_listed_workloads_are_not_crossed() -> None:
    """A list of workloads gives one cell each, even if two of their settings differ."""
    busy = {"memory_mib": 512, "dirty_mib_s": 100}
    found = design(workload=[{"memory_mib": 256, "dirty_mib_s": 10}, busy])
    assert names(found) == ["memory_mib=256, dirty_mib_s=10", "memory_mib=512, dirty_mib_s=100"]


def test_named_guests_are_one_factor() -> None:
    """Cells of named guests have their names, however many of their settings differ."""
    busy = {"memory_mib": 512, "dirty_mib_s": 100, "service": "redis"}
    found = design(plans={"a": {}, "b": {"postcopy": True}}, guests={"idle": {}, "busy": busy})
    assert names(found) == ["a, guest=idle", "a, guest=busy", "b, guest=idle", "b, guest=busy"]
    assert found.cells[0].workload == GuestSpec()
    assert found.cells[1].workload == GuestSpec(**busy)
    assert names(read(tomllib.loads(to_toml(found.spec)))) == names(found)


def test_default_leaves_a_setting_out() -> None:
    """The word "default" leaves a setting out, because TOML has no null."""
    found = design(plan={"bandwidth_mib_s": ["default", 50]}, workload={"disk": ["default"]})
    assert [cell.plan.bandwidth_mib_s for cell in found.cells] == [None, 50]
    assert names(found) == ["bandwidth_mib_s=none", "bandwidth_mib_s=50"]
    assert found.cells[0].workload == GuestSpec()


def test_numpy_numbers_become_plain() -> None:
    """A sweep made with numpy or range becomes a list of plain alternatives."""
    found = design(
        plan={"max_downtime_ms": np.array([100, 200])}, workload={"dirty_mib_s": range(10, 30, 10)}
    )
    assert len(found.cells) == 4
    assert json.loads(json.dumps(dict(found.spec)))["plan"] == {"max_downtime_ms": [100, 200]}


def test_list_settings_need_nested_brackets() -> None:
    """Alternatives of a setting that is a list of names need one more pair of brackets."""
    plan = {"parallel": True, "compression": [["zstd"], ["zlib"]]}
    found = design(plan=plan)
    assert [cell.plan.compression for cell in found.cells] == [("zstd",), ("zlib",)]
    with pytest.raises(PlanError) as caught:
        design(plan=plan | {"compression": ["zstd", "zlib"]})
    assert '[["zstd"], ["xbzrle"]]' in caught.value.hint


def test_factor_names_are_unique() -> None:
    """No setting of a plan has the name of a field of workload or wire."""
    ours = {each.factor for kind in (GuestSpec, WireSpec) for each in fields_of(kind)}
    assert ours.isdisjoint(about.name for about in settings())


def test_same_cell_twice_is_refused() -> None:
    """Repeats measure a cell more often, so that n is the number of runs."""
    with pytest.raises(UsageError, match="'mode=normal' twice") as caught:
        design(plan={"mode": ["normal", "peer2peer", "normal"]})
    assert "repeats" in caught.value.hint


@pytest.mark.parametrize("cells", [10**6, 10**12])
def test_cells_are_counted_before_any_is_built(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many cells are refused with their count, and not one of them is built."""
    monkeypatch.setattr("migrationlab.experiment.design.cells_of", None)
    values = list(range(1, 1 + round(cells ** (1 / 3))))
    spec = {
        "question": "?", "repeats": 1, "plan": {"bandwidth_mib_s": values},
        "workload": [{"dirty_mib_s": values[1:]}, {"dirty_mib_s": 1}],
        "wire": {"wire_mbit_s": values},
    }  # fmt: skip
    with pytest.raises(UsageError, match=rf"\(got {cells}: {cells} cells"):
        read(spec)
