"""The paths of the project's files, for the tests."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data"
RECORDINGS = ROOT / "tests" / "recordings"
