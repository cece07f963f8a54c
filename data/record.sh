#!/usr/bin/env bash
# Records the experiments of data/experiments, each into a folder beside its design.
#
# What is there already is left alone, and what was begun is gone on with: delete a folder to
# record it anew. Takes about an hour and a half; nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mkdir -p build

for design in data/experiments/*.toml; do
    options=()
    if [[ $design == */calibration.toml || $design == */calibration-sizes.toml ]]; then
        folder=${design%.toml}
        # The forecasts' constants are those of the pilot, which is recorded just before.
        if [[ ! -e $folder/forecasts.json ]]; then
            .venv/bin/migrationlab experiment data/experiments/calibration-pilot.toml
            .venv/bin/migrationlab calibrate data/experiments/calibration-pilot -o build/constants.json
            options+=(--forecast --constants build/constants.json)
        fi
    fi
    .venv/bin/migrationlab experiment "$design" "${options[@]}"
done
