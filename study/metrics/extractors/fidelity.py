"""The extractors that torch-fidelity offers beside Inception: CLIP, DINOv2 and VGG16, by its names.

Their weights are large. They are used where they are present; nothing is fetched.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from study.core.errors import InputError
from study.metrics.extractors.extractor import Extractor
from study.metrics.extractors.inception import UNREADABLE
from study.metrics.extractors.resize import resize
from study.metrics.extractors.torchvision_guard import import_torchvision
from study.metrics.npz import file_sha256

OpenedNetwork = tuple[nn.Module, int]
"""A network from normalised images to features, and the pixels that it takes."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the networks of one family share.

    Attributes:
        open: (name, weights file) -> the network and its size. Differs from torch-fidelity's wrappers: images are
            float, since the metric protocol says whether they are rounded.
        file: name -> its weights in torch's hub folder.
        mean, deviation: of the channels of the images that it was trained with.
        code: folder of torch's hub that its code must be in, and where it is from; None where torch-fidelity has it.
    """

    open: Callable[[str, Path], OpenedNetwork]
    file: Callable[[str], str]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)
    code: str | None = None


def load(name: str, *, dataset: str, data_dir: Path, weights: Path | None = None, device: str = "cpu") -> Extractor:
    """The features that torch-fidelity's extractor `name` gives for the Frechet distance, of float images.

    `dataset` and `data_dir` are those of every extractor; this one needs neither. Raises InputError where
    torch-fidelity or the weights are missing, or the file is not one of this network.
    """
    family = FAMILIES[name]
    try:
        import_torchvision()
        path = _weights(name, family, weights)
        network, size = family.open(name, path)
    except ImportError as error:
        raise InputError(f"--extractor {name}: needs torch-fidelity ({error}); pip install torch-fidelity.") from error
    except InputError:
        raise
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"--extractor-weights {path}: not weights of {name} ({reason:.120}); give the file as it is published."
        ) from error
    network = network.to(device).eval().requires_grad_(False)
    mean, deviation = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (family.mean, family.deviation))

    def features(images: Tensor) -> Tensor:
        images = resize(images.to(device, torch.float32), size).expand(-1, 3, -1, -1)
        outputs: Tensor = network((images - mean) / deviation)
        return outputs.float()

    with torch.inference_mode():
        dimension = features(torch.zeros(1, 3, size, size)).shape[1]
    sha256, how = file_sha256(path), f"tf1-bilinear-{size}"
    return Extractor(
        name=name, weights_sha256=sha256, dimension=dimension, resize=how, features=features, device=device
    )


def _weights(name: str, family: Family, given: Path | None) -> Path:
    """The given file, or the known one in torch's hub folder. Raises InputError where code or weights are missing."""
    hub = Path(torch.hub.get_dir())
    path = hub / "checkpoints" / family.file(name)
    if family.code and not (hub / family.code).is_dir():
        remedy = f"put a checkout of it into {hub / family.code}, and {path.name} into {path.parent}"
        raise InputError(f"--extractor {name}: its code is not here, and is not fetched; {remedy}.")
    if given is None and not path.is_file():
        remedy = f"put {path.name} into {path.parent}, or name the file by --extractor-weights"
        raise InputError(f"--extractor {name}: its weights are not here, and are not fetched; {remedy}.")
    return given or path


def _fidelity(module: str) -> Any:
    return importlib.import_module(f"torch_fidelity.{module}")


def _open_clip(name: str, path: Path) -> OpenedNetwork:
    wrapper = _fidelity("feature_extractor_clip").FeatureExtractorCLIP
    opened = wrapper(name, ["clip"], feature_extractor_weights_path=str(path))
    return opened.model.visual, opened.resolution


def _clip_file(name: str) -> str:
    return f"{name}-{_fidelity('feature_extractor_clip').MODEL_METADATA[name]['hash']}.pt"


def _open_vgg(name: str, path: Path) -> OpenedNetwork:
    torch.load(path, map_location="cpu", weights_only=True)  # what could run code must not be unpickled by the wrapper
    wrapper = _fidelity("feature_extractor_vgg16").FeatureExtractorVGG16
    opened = wrapper(name, ["fc2_relu"], feature_extractor_weights_path=str(path))
    return nn.Sequential(opened.model, nn.ReLU()), opened.INPUT_IMAGE_SIZE


def _open_dinov2(name: str, path: Path) -> OpenedNetwork:
    entry = _fidelity("feature_extractor_dinov2").MODEL_METADATA[name]
    code = Path(torch.hub.get_dir()) / str(DINOV2.code)
    network: nn.Module = torch.hub.load(  # type: ignore[no-untyped-call]
        str(code), entry, source="local", pretrained=False, verbose=False
    )
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network, _fidelity("feature_extractor_dinov2").FeatureExtractorDinoV2.INPUT_IMAGE_SIZE


CLIP = Family(
    open=_open_clip,
    file=_clip_file,
    mean=(0.48145466, 0.4578275, 0.40821073),
    deviation=(0.26862954, 0.26130258, 0.27577711),
)
DINOV2 = Family(
    open=_open_dinov2,
    file=lambda name: f"dinov2_vit{name.split('-')[2]}14_pretrain.pth",
    code="facebookresearch_dinov2_main",
)
VGG = Family(open=_open_vgg, file=lambda name: "vgg16-397923af.pth")
FAMILIES: dict[str, Family] = {
    **{f"clip-{size}": CLIP for size in ("rn50", "rn101", "rn50x4", "rn50x16", "rn50x64")},
    **{f"clip-vit-{size}": CLIP for size in ("b-32", "b-16", "l-14", "l-14-336px")},
    **{f"dinov2-vit-{size}-14": DINOV2 for size in "sblg"},
    "vgg16": VGG,
}
LOADERS: dict[str, Callable[..., Extractor]] = {name: partial(load, name) for name in FAMILIES}
