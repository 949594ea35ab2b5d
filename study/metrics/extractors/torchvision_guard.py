"""Imports torchvision when its wheel is built for CUDA but torch is a CPU build.

In that case its compiled library does not load, and importing it fails with "operator torchvision::nms does not exist"
(pytorch/vision#9085, pytorch/vision#9077), because it registers fake kernels of two operators without checking that the
operators exist. With their schemas defined, transforms, datasets and models work; torchvision.io's decoding and
torchvision.ops.nms do not. torch-fidelity imports torchvision, but does not need those two.
"""

import importlib
import sys

import torch

_MISSING = ("torchvision::nms", "torchvision::qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> None:
    """Import torchvision; define the missing schemas if, and only if, the import fails without them.

    Call this before anything else that imports torchvision. Raises ImportError if torchvision is not installed.
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
