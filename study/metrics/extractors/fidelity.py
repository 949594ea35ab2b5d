"""The extractors of torch-fidelity other than Inception: CLIP, DINOv2 and VGG16, with torch-fidelity's names.

Their weights are large. They are never downloaded; the user provides the files.
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
"""A network from normalized images to features, and its input size in px."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What the networks of one family share.

    Attributes:
        open: (name, weights file) -> the network and its input size. Differs from torch-fidelity's wrappers: images
            are float, since the metric protocol decides about rounding.
        file: name -> name of its weights file in torch's hub folder.
        mean, deviation: of the channels of its training images.
        code: folder in torch's hub folder that must contain its code; None if torch-fidelity contains it.
    """

    open: Callable[[str, Path], OpenedNetwork]
    file: Callable[[str], str]
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225)
    code: str | None = None


def load(name: str, *, dataset: str, data_dir: Path, weights: Path | None = None, device: str = "cpu") -> Extractor:
    """The features that torch-fidelity's extractor `name` uses for the Frechet distance, for float images.

    All extractors take `dataset` and `data_dir`; this one does not use them. Raises InputError if torch-fidelity or the
    weights are missing, or the file is not for this network.
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
            f"--extractor-weights {path}: not weights of {name} ({reason:.120}); give the published file."
        ) from error
    network = network.to(device).eval().requires_grad_(False)
    mean, deviation = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (family.mean, family.deviation))

    def features(images: Tensor) -> Tensor:
        images = resize(images.to(device, torch.float32), size).expand(-1, 3, -1, -1)
        outputs: Tensor = network((images - mean) / deviation)
        return outputs.float()

    with torch.inference_mode():
        dimension = features(torch.zeros(1, 3, size, size)).shape[1]
    return Extractor(
        name=name,
        weights_sha256=file_sha256(path),
        dimension=dimension,
        resize=f"tf1-bilinear-{size}",
        features=features,
        device=device,
    )


def _weights(name: str, family: Family, given: Path | None) -> Path:
    """The given file, or the default one in torch's hub folder. Raises InputError if code or weights are missing."""
    hub = Path(torch.hub.get_dir())
    path = hub / "checkpoints" / family.file(name)
    if family.code and not (hub / family.code).is_dir():
        remedy = f"put a checkout of its repository into {hub / family.code}, and {path.name} into {path.parent}"
        raise InputError(f"--extractor {name}: its code is not here, and is not downloaded; {remedy}.")
    if given is None and not path.is_file():
        remedy = f"put {path.name} into {path.parent}, or give the file by --extractor-weights"
        raise InputError(f"--extractor {name}: its weights are not here, and are not downloaded; {remedy}.")
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
    torch.load(path, map_location="cpu", weights_only=True)  # safe loading first: the wrapper would unpickle code
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
