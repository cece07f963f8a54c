"""``python -m migrationlab.cli`` is ``migrationlab``."""

from migrationlab.cli import main

main(prog_name="migrationlab")
