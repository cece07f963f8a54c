#!/usr/bin/env bash
# Records the experiments of data/experiments, each into a folder beside its design.
#
# What is there already is left alone, and what was begun is gone on with: delete a folder to
# record it anew. Takes about ten minutes; nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for design in data/experiments/*.toml; do
    options=()
    if [[ $design == */calibration.toml ]]; then options+=(--forecast); fi
    .venv/bin/migrationlab experiment "$design" "${options[@]}"
done
