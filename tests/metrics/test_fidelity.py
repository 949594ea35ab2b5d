"""torch-fidelity's other extractors, as small networks of the same code, and what is said where weights are missing."""

import subprocess
import sys

import pytest
import torch

from study.core.errors import InputError
from study.metrics.extractors import fidelity
from study.metrics.extractors.menu import load_extractor
from study.metrics.extractors.resize import resize
from study.metrics.extractors.torchvision_guard import import_torchvision
from tests.conftest import quick_only


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty folder of torch's hub, and no way out of the machine."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def offline(*_, **__):
        raise AssertionError("something was fetched")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub"


def load(name, weights=None):
    return load_extractor(name, dataset="digits", data_dir="unused", weights=weights)


def pixels(*shape):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


class Archive(torch.nn.Module):
    """What CLIP is published as, with a small network inside."""

    def __init__(self, network):
        super().__init__()
        self.visual = network
        self.text_projection = torch.nn.Parameter(torch.zeros(8, 16))

    def forward(self, images):
        return self.visual(images)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A file of CLIP's form: a transformer of 2 layers on 32-px images."""
    import_torchvision()
    from torch_fidelity.feature_extractor_clip import VisionTransformer

    torch.manual_seed(0)
    network = VisionTransformer(input_resolution=32, patch_size=8, width=64, layers=2, heads=1, output_dim=16)
    path = tmp_path_factory.mktemp("clip") / "clip.pt"
    torch.jit.trace(Archive(network.eval()), torch.zeros(1, 3, 32, 32)).save(str(path))
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_clip_equals_torch_fidelitys_on_uint8_images(clip, hub):
    from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP

    theirs = FeatureExtractorCLIP("clip-vit-b-32", ["clip"], feature_extractor_weights_path=str(clip))
    extractor = load("clip-vit-b-32", clip)
    images = pixels(4, 3, 20, 20)
    features = extractor.features(images.float() / 255)
    assert (extractor.name, extractor.dimension, extractor.resize) == ("clip-vit-b-32", 16, "tf1-bilinear-32")
    torch.testing.assert_close(features, theirs(images)[0], rtol=1e-4, atol=1e-5)
    assert features.std(dim=0).mean() > 1e-3
    assert extractor.logits is None
    between = extractor.features((images.float() + 0.4) / 255)
    assert not torch.equal(between, features)


CODE = """
import torch
from tests.conftest import quick_only
dependencies = ["torch"]
def dinov2_vits14(pretrained=True):
    assert not pretrained
    return torch.nn.Sequential(torch.nn.AvgPool2d(56), torch.nn.Flatten(), torch.nn.Linear(48, 5))
"""


def test_dinov2_from_a_checkout_and_its_weights(hub):
    code = hub / "facebookresearch_dinov2_main"
    code.mkdir()
    (code / "hubconf.py").write_text(CODE)
    linear = torch.nn.Linear(48, 5)
    torch.save({"2.weight": linear.weight, "2.bias": linear.bias}, hub / "checkpoints" / "dinov2_vits14_pretrain.pth")
    extractor = load("dinov2-vit-s-14")
    images = pixels(2, 1, 8, 8).float() / 255
    mean, deviation = torch.tensor(fidelity.DINOV2.mean), torch.tensor(fidelity.DINOV2.deviation)
    pooled = torch.nn.functional.avg_pool2d(resize(images, 224), 56).expand(-1, 3, -1, -1)
    expected = linear(((pooled - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)).flatten(1))
    torch.testing.assert_close(extractor.features(images), expected, rtol=1e-4, atol=1e-5)
    assert (extractor.dimension, extractor.resize) == (5, "tf1-bilinear-224")


def test_all_of_torch_fidelitys_names_are_offered():
    import_torchvision()
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    assert set(fidelity.FAMILIES) == set(FEATURE_EXTRACTORS_REGISTRY) - {"inception-v3-compat"}


@pytest.mark.parametrize("name", fidelity.FAMILIES)
def test_missing_weights_are_one_line_and_nothing_is_fetched(name, hub):
    with pytest.raises(
        InputError, match=f"--extractor {name}: its .* not here, and .* not downloaded; put .*{hub}"
    ) as error:
        load(name)
    assert "\n" not in str(error.value)
    assert list(hub.rglob("*")) == [hub / "checkpoints"]


@pytest.mark.parametrize("name", quick_only(["clip-rn50", "vgg16"], ["clip-rn50"]))
def test_other_files_are_refused(name, hub, tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(InputError, match=f"weights.pth: not weights of {name}") as error:
        load(name, tmp_path / "weights.pth")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [8, 32, 128, 299, 400])
def test_the_resize_equals_torch_fidelitys(size):
    import_torchvision()
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    images = pixels(2, 3, size, size + 3).float()
    expected = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    torch.testing.assert_close(resize(images, 299), expected, rtol=0, atol=1e-4)


@pytest.mark.full
def test_importing_the_menu_imports_no_torch_fidelity():
    code = (
        "import sys, study.metrics.extractors.menu, study.metrics.menu, study.metrics.image_folder; print(*sys.modules)"
    )
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch_fidelity", "torchvision", "ray", "optuna"} & set(modules)
