"""Where the tests find the project's files."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data"
RECORDINGS = ROOT / "tests" / "recordings"
