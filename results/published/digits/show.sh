#!/usr/bin/env bash
# All that is shown of the rows of this folder, from the rows alone: `bash results/published/digits/show.sh`.
set -euo pipefail
folder=$(dirname "$0")

for space in regularization losses architectures resnet-ablation; do
    study figures top budget --space "$space" --format svg --results "$folder" --output "$folder/figures/$space"
done
study figures ablation seeds response importance training agreement --format svg --results "$folder"
study report --results "$folder"
