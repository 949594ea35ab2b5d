#!/usr/bin/env bash
# The study of this folder, from nothing or from where it was stopped: `bash results/published/digits/study.sh [FOLDER]`.
# Some hours of two cores. Rows go to FOLDER, or to this one. This one has the rows of semantics 1; the code of the revision
# in their column code_revision has nothing to run, but for the last line, which repeats the best settings that it finds.
# Today's code, of semantics 2, would train all trials again under other ids, so give it a FOLDER of its own.
set -euo pipefail
folder=${1:-$(dirname "$0")}
asked=(--discriminator-steps 500 --checkpoint-every 25 --metrics is,modes,kid --results "$folder")

study run regularization --seeds 3 --methods gradient_penalty --keep-states "${asked[@]}"
study run regularization --seeds 3 "${asked[@]}"
study run losses --seeds 3 "${asked[@]}"
study run architectures --seeds 3 "${asked[@]}"
study run resnet-ablation "${asked[@]}"
study run long-training --seeds 3 "${asked[@]}"
study run cifar --seeds 3 --architecture sndcgan --methods hinge,hinge+spectral_norm,hinge+gradient_penalty "${asked[@]}"
study run combinations --seeds 1 "${asked[@]}"
study bo --rounds 12 "${asked[@]}"
study run seeds --methods none,gradient_penalty,dragan,l2,spectral_norm,layer_norm,batch_norm "${asked[@]}"
