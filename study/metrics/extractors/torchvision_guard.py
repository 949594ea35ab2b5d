"""Import torchvision where its registry wheel, built for CUDA, sits beside a CPU build of torch.

There its compiled library does not load, and importing it fails with "operator torchvision::nms does not exist"
(pytorch/vision#9085, pytorch/vision#9077): the fake kernels of two operators are registered without looking whether
the operators exist. With their schemas defined, transforms, datasets and models work; torchvision.io's decoding and
torchvision.ops.nms do not. torch-fidelity imports torchvision, and needs none of those two.
"""

import importlib
import sys

import torch

_MISSING = ("torchvision::nms", "torchvision::qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> None:
    """Import torchvision, with the missing schemas defined if (and only if) it fails for want of them.

    Call it before anything else that imports torchvision. Raises ImportError where torchvision is not installed.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if _MISSING[0] not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        for operator in _MISSING:
            torch.library.define(operator, _SCHEMA)
        importlib.import_module("torchvision")
