"""What the tests of this folder share: the digits, and an Inception file of the right structure."""

import pytest
import torch

from study.metrics.extractors.torchvision_guard import import_torchvision


@pytest.fixture(scope="session")
def random_inception(tmp_path_factory):
    """(file, network): torch-fidelity's Inception with random weights that keep the scale of the features."""
    import_torchvision()
    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fidelity, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda *_, **__: None)
        network = fidelity.FeatureExtractorInceptionV3("random", ["2048"])
    rng = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith("conv.weight"):
            value.copy_(torch.randn(value.shape, generator=rng) * (2 / value[0].numel()) ** 0.5)
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(network.state_dict(), path)
    return path, network
