#!/usr/bin/env bash
# All that is shown of the rows of this folder, from the rows alone: `bash results/published/digits/show.sh`.
set -euo pipefail
folder=$(dirname "$0")

for space in regularization losses architectures combinations resnet-ablation; do
    study figures top budget --space "$space" --format svg --results "$folder" --output "$folder/figures/$space"
done
fixed=regularization,losses,architectures,combinations,resnet-ablation,long-training,cifar
study figures ablation seeds importance training agreement --space "$fixed" --format svg --results "$folder"
study figures bo response --space bo --format svg --results "$folder" --output "$folder/figures/bo"
study report --results "$folder"
