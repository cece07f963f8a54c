"""Pairs of hosts under Dask: inventories, and campaigns with real workers and fake hosts.

``tests/lab/test_pairs.py`` does it with two labs.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster

import fake_pairs
from migrationlab.cli import main
from migrationlab.errors import HostError, UsageError
from migrationlab.experiment import pair_worker
from migrationlab.experiment.campaign import connected
from migrationlab.experiment.experiment import Experiment
from migrationlab.experiment.inventory import labs, pairs_of
from migrationlab.experiment.pair_check import PairCheck, check_pairs
from migrationlab.experiment.statistics import compare
from migrationlab.runs.run import Run
from migrationlab.runs.store import save_run
from migrationlab.steps import Step

pytestmark = pytest.mark.filterwarnings("default")

HOSTS = {"source": "qemu+ssh://root@node1/system", "to": "qemu+ssh://root@node2/system",
         "domain": "web1"}  # fmt: skip


def test_inventory_has_labs_and_real_hosts() -> None:
    """A pair is a lab or two hosts; the design of a pair has its place."""
    lab, real = pairs_of({"pairs": [{"name": "lab-1"}, {"name": "rack-1", **HOSTS}]})
    spec = {"question": "Which?", "plan": {"mode": ["normal", "peer2peer"]}}
    assert lab.design(spec).images == ("trixie", "trixie")
    assert real.design(spec).hosts is not None
    assert real.hosts == (HOSTS["source"], HOSTS["to"])
    assert repr(real) == "Pair('rack-1', hosts)"


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ([], "pairs must be a list of tables"),
        ([{"name": "Lab 1"}], "name must be small letters"),
        ([{"name": "a"}, {"name": "a"}], "each name must be in one pair only"),
        ([{"name": "a", **HOSTS}, {"name": "b", **HOSTS, "to": "qemu+ssh://root@node3/system"}],
         "each host must be in one pair only"),
        ([{"name": "a", **HOSTS, "images": "trixie"}], "must be a lab or real hosts"),
        ([{"name": "a", "source": HOSTS["source"]}], "hosts.to must not be empty"),
        ([{"name": "a", "host": "x"}], "no such key"),
    ],
)  # fmt: skip
def test_wrong_inventory_is_refused(pairs: list[Any], why: str) -> None:
    """A wrong inventory is refused before anything starts."""
    with pytest.raises(UsageError, match=why):
        pairs_of({"pairs": pairs})


def test_scheduler_that_cannot_be_reached_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at port 1: that is said within the time limit."""
    monkeypatch.setattr("migrationlab.experiment.campaign.CONNECT_S", 1)
    with (
        pytest.raises(UsageError, match="scheduler must be reachable"),
        connected(None, "tcp://127.0.0.1:1", 1),
    ):
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the fake hosts read."""
    return tmp_path_factory.mktemp("fake")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    """Give a client of two worker processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_PAIRS", str(folder))
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as made,
        ):
            # On a busy machine one worker would make all runs before the other has begun.
            made.wait_for_workers(2)
            made.run(fake_pairs.ready)
            yield made


@pytest.fixture
def experiment(
    folder: Path, tmp_path: Path, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> Experiment:
    """Return an experiment of two cells, four times each, whose fake runs are on disk."""
    monkeypatch.setattr(pair_worker, "make_run", fake_pairs.answer)
    monkeypatch.setattr(pair_worker, "close_pair", fake_pairs.close)
    for left in [*folder.glob("broken-*"), *folder.glob("made")]:
        left.unlink()
    made = Experiment(
        "Which?", grid={"mode": ["normal", "peer2peer"]}, repeats=4, directory=tmp_path / "own"
    )
    for planned in made.planned:
        cell = made.design.cell(planned.cell)
        place = {"id": made.id, "name": made.name, "cell": cell.name, "block": planned.block,
                 "setting": dict(cell.setting), "run_number": planned.number, "attempt": 1,
                 "warm_up": False, "stopped": False,
                 "pair": f"lab-{1 + planned.block % 2}"}  # fmt: skip
        run = make_run(mode=str(cell.plan.mode), number=planned.number, with_beats=False)
        target = folder / "runs" / str(planned.number)
        if target.exists():
            import shutil

            shutil.rmtree(target)
        save_run(replace(run, experiment=place), target)
    return made


def made_by(folder: Path) -> list[tuple[int, str]]:
    """Return the runs that the fake hosts made, with their pairs."""
    lines = (folder / "made").read_text("utf-8").splitlines()
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


def test_blocks_are_shared_and_stay_whole(
    client: Client, experiment: Experiment, folder: Path
) -> None:
    """Both pairs make runs, each block is made by one pair, and each run once."""
    experiment.run(pairs=labs(2), client=client)
    assert experiment.finished
    made = made_by(folder)
    assert Counter(number for number, _ in made) == dict.fromkeys(range(1, 9), 1)
    blocks = {run.number: run.block for run in experiment.planned}
    pairs: dict[int, set[str]] = {}
    for number, pair in made:
        pairs.setdefault(blocks[number], set()).add(pair)
    assert all(len(each) == 1 for each in pairs.values())
    assert experiment.cut_short == 0
    assert set(experiment.frame()["pair"]) == {"lab-1", "lab-2"}


def test_failing_pair_does_not_end_the_campaign(
    client: Client, experiment: Experiment, folder: Path
) -> None:
    """A pair that fails twice is given up, and the other one makes its block."""
    (folder / "broken-lab-2").touch()
    steps: list[Step] = []
    experiment.run(pairs=labs(2), client=client, on_step=steps.append)
    assert experiment.finished
    assert {pair for _, pair in made_by(folder)} == {"lab-1"}
    assert [step.detail for step in steps if "given up" in step.detail] == [
        "lab-2 is broken; the pair is given up"
    ]
    assert experiment.cut_short == 2


def test_campaign_without_pairs_left_says_why(
    client: Client, experiment: Experiment, folder: Path
) -> None:
    """If every pair is given up, the error names the reasons, and the rest can be continued."""
    for name in ("lab-1", "lab-2"):
        (folder / f"broken-{name}").touch()
    with pytest.raises(HostError, match=r"every pair was given up: .*lab-1 is broken"):
        experiment.run(pairs=labs(2), client=client)
    for name in ("lab-1", "lab-2"):
        (folder / f"broken-{name}").unlink()
    experiment.run(pairs=labs(2), client=client)
    assert experiment.finished


def test_stopped_campaign_hands_out_nothing(client: Client, experiment: Experiment) -> None:
    """If stop is set before, no run is handed out, and all are left."""
    stop = threading.Event()
    stop.set()
    experiment.run(pairs=labs(2), client=client, stop=stop)
    assert len(experiment.left) == 8


def test_killed_worker_costs_one_attempt(
    client: Client, experiment: Experiment, folder: Path
) -> None:
    """A worker killed in a run costs that attempt; the run is made again, and told."""
    (folder / "kill-3").touch()
    steps: list[Step] = []
    experiment.run(pairs=labs(2), client=client, on_step=steps.append)
    assert experiment.finished
    assert Counter(number for number, _ in made_by(folder)) == dict.fromkeys(range(1, 9), 1)
    starts = Counter(each.run_number for each in experiment.starts)
    assert starts == {**dict.fromkeys(range(1, 9), 1), 3: 2}
    assert len([step for step in steps if "made again as a new attempt" in step.detail]) == 1


def test_check_needs_two_pairs_and_says_what_it_found() -> None:
    """One pair cannot be disturbed; a slower call with the others is called a disturbance."""
    with pytest.raises(UsageError, match="pairs must be two or more"):
        check_pairs(labs(1))
    alone = [1000.0, 1010, 1005, 995, 1002, 998]
    slower = PairCheck("lab-1", compare(alone, [value * 1.5 for value in alone]))
    assert "the others change its calls by +50 % (n 6 and 6)" in slower.text
    assert "less than 5 %" in PairCheck("lab-1", compare(alone, alone)).text
    assert "too small" in PairCheck("lab-1", compare(alone[:2], alone[:2])).text


def test_programs_of_an_inventory_are_shown_and_not_run(
    tmp_path: Path, experiment: Experiment
) -> None:
    """They run only if they are allowed, in a check and in an experiment."""
    path = tmp_path / "pairs.toml"
    path.write_text(
        '[[pairs]]\nname = "a"\nsource = "qemu+ext:///system?Command=/evil"\n'
        'to = "qemu+ssh://b/system"\ndomain = "web1"\n[[pairs]]\nname = "lab-1"\n',
        encoding="utf-8",
    )
    assert "a runs /evil" in CliRunner().invoke(main, ["pairs", str(path)]).output
    checked = CliRunner().invoke(main, ["pairs", str(path), "--check"])
    assert (checked.exit_code, "(got: a runs /evil)" in checked.output) == (2, True)
    with pytest.raises(UsageError, match=r"must name no programs \(got: a runs /evil\)"):
        experiment.run(pairs=path)


def test_command_lists_an_inventory(tmp_path: Path) -> None:
    """Without --check the pairs are listed, and a wrong inventory is a mistake of the call."""
    path = tmp_path / "pairs.toml"
    path.write_text('[[pairs]]\nname = "lab-1"\n', encoding="utf-8")
    assert "lab-1  a lab" in CliRunner().invoke(main, ["pairs", str(path)]).output
    path.write_text("[[pairs]]\n", encoding="utf-8")
    result = CliRunner().invoke(main, ["pairs", str(path)])
    assert result.exit_code == 2
    assert "name must be small letters" in result.output
