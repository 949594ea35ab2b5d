"""The extractor `inception-v3-compat`: the Inception network of the FID, from torch-fidelity.

Its weights were converted from the TensorFlow graph of 2015-12-05, the network of Heusel et al. 2017 and of the study.
"""

import importlib
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_eval

from study.core.errors import InputError
from study.core.output import show_error
from study.metrics.extractors.extractor import Extractor
from study.metrics.extractors.resize import resize
from study.metrics.extractors.torchvision_guard import import_torchvision
from study.metrics.npz import file_sha256

NAME = "inception-v3-compat"
WEIGHTS_FILE = "weights-inception-2015-12-05-6726825d.pth"
WEIGHTS_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""Only with these weights is a Frechet distance an FID. torch-fidelity does not verify the file; `load` does."""
SIZE = 299
UNREADABLE = (OSError, EOFError, pickle.UnpicklingError, RuntimeError, ValueError, TypeError, AttributeError, KeyError)
"""The exceptions of torch for a file that is not a state dict, or the state dict of another network."""


def load(*, dataset: str, data_dir: Path, weights: Path | None = None, device: str = "cpu") -> Extractor:
    """The 2048-d features (pool_3) of torch-fidelity's Inception, for float images of any size, grey or RGB.

    Without `weights`, the known file is used; if it is missing, it is downloaded once to torch's hub folder. All
    extractors take `dataset` and `data_dir`; this one does not use them. Raises InputError if the download fails, if
    the known file has another hash, or if `weights` is not a state dict of this network.
    """
    path = _known_weights() if weights is None else weights
    sha256 = file_sha256(path)
    trunk, head = _network(path, trusted=sha256 == WEIGHTS_SHA256)
    trunk = trunk.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in the stubs
    head = head.to(device)

    def features(images: Tensor) -> Tensor:
        images = resize((images.to(device, torch.float32) * 255 - 128) / 128, SIZE)
        pooled: Tensor = trunk(images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last))
        return pooled

    return Extractor(
        name=NAME,
        weights_sha256=sha256,
        dimension=2048,
        resize=f"tf1-bilinear-{SIZE}",
        features=features,
        logits=lambda pooled: pooled @ head.T,
        device=device,
    )


def _known_weights() -> Path:
    """The file of known hash in `$TORCH_HOME/hub/checkpoints`; downloaded from torch-fidelity's release if missing."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_FILE
    remedy = f"put {WEIGHTS_FILE} into {path.parent}, or give another file by --extractor-weights"
    if not path.is_file():
        fidelity = _torch_fidelity()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            show_error(f"downloading {fidelity.URL_INCEPTION_V3} to {path.parent}")
            # The download goes to a temporary file, which is renamed only if its hash is correct.
            torch.hub.download_url_to_file(
                fidelity.URL_INCEPTION_V3, str(path), WEIGHTS_SHA256, progress=sys.stderr.isatty()
            )
        except (OSError, RuntimeError) as error:
            reason = str(error).replace("\n", " ")
            raise InputError(f"--extractor {NAME}: its weights cannot be downloaded ({reason}); {remedy}.") from error
    elif (sha256 := file_sha256(path)) != WEIGHTS_SHA256:
        raise InputError(f"{path}: has sha256 {sha256}, not {WEIGHTS_SHA256}; remove it, then {remedy}.")
    return path


def _network(path: Path, trusted: bool) -> tuple[nn.Module, Tensor]:
    """The network up to its pooled features as one module, and the weight [1008, 2048] of its classifier.

    The bias of the classifier is not used, as in torch-fidelity and in the code of Salimans et al. 2016.
    """
    fidelity = _torch_fidelity()
    try:
        if not trusted:  # safe loading first: torch-fidelity unpickles the file, which could run code
            torch.load(path, map_location="cpu", weights_only=True)
        network = fidelity.FeatureExtractorInceptionV3(NAME, ["2048"], feature_extractor_weights_path=str(path))
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"--extractor-weights {path}: not a state dict of torch-fidelity's Inception ({reason:.120}); "
            f"give a file with the structure of {WEIGHTS_FILE}."
        ) from error
    # Its forward method takes only uint8, but equals its children in order; the last child is the classifier.
    *blocks, classifier = network.children()
    return _folded(nn.Sequential(*blocks, nn.Flatten()).eval()), classifier.weight


def _folded(module: nn.Module) -> nn.Module:
    """The same function with every batch normalization folded into the preceding convolution, in float64."""
    for name, child in module.named_children():
        parts = dict(child.named_children())
        if {"conv", "bn"} <= parts.keys():
            convolution, norm = cast(nn.Conv2d, parts["conv"].double()), cast(nn.BatchNorm2d, parts["bn"].double())
            convolution = fuse_conv_bn_eval(convolution, norm).float().requires_grad_(False)
            setattr(module, name, nn.Sequential(convolution, nn.ReLU(inplace=True)))
        else:
            _folded(child)
    return module


def _torch_fidelity() -> ModuleType:
    try:
        import_torchvision()
        return importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError as error:
        raise InputError(f"--extractor {NAME}: needs torch-fidelity ({error}); pip install torch-fidelity.") from error
