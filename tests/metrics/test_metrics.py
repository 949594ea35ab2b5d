"""The metrics beside the Frechet distance against closed forms, and against torch-fidelity on the same features."""

import math

import numpy as np
import pytest
import torch

from study.core.evaluation import Scores
from study.core.trial import field_names
from study.metrics.extractors.torchvision_guard import import_torchvision
from study.metrics.menu import METRICS, columns
from study.metrics.scores.classes import Classes
from study.metrics.scores.frechet import Moments, frechet_distance
from study.metrics.scores.frechet_infinity import frechet_infinity, smallest
from study.metrics.scores.inception_score import inception_score
from study.metrics.scores.kernel import kernel_distance, subset_size, unbiased_mmd
from study.metrics.scores.mode_coverage import class_js, class_kl, classes_hit
from study.metrics.scores.ms_ssim import WEIGHTS, mean_similarity, pairwise, scale_weights
from study.metrics.scores.precision_recall import precision_recall


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def fidelity():
    import_torchvision()
    import torch_fidelity.metric_isc
    import torch_fidelity.metric_kid
    import torch_fidelity.metric_prc

    return torch_fidelity


# --- kernel distance


@pytest.mark.parametrize(("n", "m", "d", "size"), [(300, 200, 32, 100), (1200, 1100, 64, 1000), (80, 80, 200, 80)])
def test_kid_equals_torch_fidelitys(fidelity, n, m, d, size):
    real, fake = random(n, d), random(m, d, seed=1) * 1.2 + 0.3
    theirs = fidelity.metric_kid.kid_features_to_metric(
        fake.double(), real.double(), kid_subset_size=size, kid_subsets=10, verbose=False
    )
    mean, deviation = kernel_distance(real, fake, size, subsets=10)
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)
    assert deviation == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-6, abs=1e-12)
    assert mean > 0.01


@pytest.mark.full
def test_kid_has_torch_fidelitys_defaults(fidelity):
    from torch_fidelity.defaults import DEFAULTS

    real, fake = random(1100, 4), random(1100, 4, seed=1) + 0.5
    theirs = fidelity.metric_kid.kid_features_to_metric(fake.double(), real.double(), verbose=False)
    assert DEFAULTS["kid_subset_size"] == subset_size(1100, 1100) == 1000
    assert kernel_distance(real, fake, 1000)[0] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-9)


def test_the_mmd_of_constants_has_a_closed_form():
    """Of x = a and y = b in one dimension: (a^2 + 1)^3 + (b^2 + 1)^3 - 2 (a b + 1)^3."""
    x, y = torch.full((5, 1), 2.0).double(), torch.full((7, 1), 3.0).double()
    assert unbiased_mmd(x, y) == pytest.approx(5**3 + 10**3 - 2 * 7**3, rel=1e-12)


def test_the_mmd_is_unbiased():
    distances = [
        unbiased_mmd(random(30, 3, seed=2 * i).double(), random(20, 3, seed=2 * i + 1).double()) for i in range(400)
    ]
    error = np.std(distances) / len(distances) ** 0.5
    assert abs(np.mean(distances)) < 4 * error
    assert min(distances) < 0


def test_a_subset_is_a_thousand_or_all_or_what_was_asked_for():
    assert [subset_size(10_000, 5_000), subset_size(600, 500), subset_size(600, 500, 50)] == [1000, 500, 50]


# --- Inception Score


def classes_of(logits, sizes):
    parts = [Classes.of(part) for part in logits.split(sizes)]
    return sum(parts[1:], parts[0])


@pytest.mark.parametrize("sizes", [500, 64, 1])
def test_inception_score_equals_torch_fidelitys_on_one_split(fidelity, sizes):
    logits = random(500, 20) * 3
    theirs = fidelity.metric_isc.isc_features_to_metric(logits, splits=1)["inception_score_mean"]
    assert inception_score(classes_of(logits, sizes)) == pytest.approx(theirs, rel=1e-10)
    assert 2 < theirs < 20


def test_inception_score_closed_forms():
    sure = torch.eye(10).repeat(3, 1) * 1e4  # each class equally often, without doubt
    assert inception_score(Classes.of(sure)) == pytest.approx(10, rel=1e-12)
    assert inception_score(Classes.of(sure[:1].expand(9, -1))) == pytest.approx(1, abs=1e-12)
    assert inception_score(Classes.of(torch.zeros(9, 10))) == pytest.approx(1, abs=1e-12)


def test_classes_survive_arrays_and_count_hits():
    classes = Classes.of(torch.tensor([[0.0, 2, 1], [3, 0, 0], [0, 5, 0]]))
    again = Classes.from_arrays(classes.arrays())
    assert again.hits.tolist() == [1, 2, 0] and again.count == 3
    assert inception_score(again) == inception_score(classes)
    with pytest.raises(ValueError, match="not the arrays of classes"):
        Classes.from_arrays({"count": np.array(3)})


# --- precision and recall


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 4), (300, 300, 32), (50, 90, 300)])
@pytest.mark.parametrize("part", [True, False])
def test_precision_and_recall_equal_torch_fidelitys(fidelity, n, m, d, part):
    real, fake = random(n, d), random(m, d, seed=1) * 0.8 + 0.2
    theirs = fidelity.metric_prc.prc_features_to_metric(
        fake.double(), real.double(), save_cpu_ram=part, prc_batch_size=64, verbose=False
    )
    ours = precision_recall(real, fake)
    assert ours == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)  # theirs are float32 means


def test_precision_and_recall_by_hand():
    real = torch.tensor([[0.0], [1], [2], [3], [4]])  # radii 3, 2, 2, 2, 3: [-3, 7] is covered
    fake = torch.tensor([[7.0], [7.5], [-3], [100], [101], [102], [103]])  # of the radii the smallest is 2, at 101, 102
    precision, recall = precision_recall(real, fake)
    assert precision == pytest.approx(2 / 7)
    assert recall == 1  # the ball around -3 reaches 100
    assert precision_recall(real, real) == (1, 1)
    assert precision_recall(real, real + 1000) == (0, 0)


def test_chunks_make_no_difference(monkeypatch):
    real, fake = random(100, 8), random(120, 8, seed=1)
    whole = precision_recall(real, fake)
    monkeypatch.setattr("study.metrics.scores.precision_recall.CHUNK", 700)
    assert precision_recall(real, fake) == whole
    assert 0 < whole[0] < 1


# --- mode coverage


def test_mode_coverage_closed_forms():
    even, one = torch.tensor([25, 25, 25, 25]), torch.tensor([80, 0, 0, 0])
    assert (classes_hit(even), classes_hit(one)) == (4, 1)
    assert class_kl(even, one) == pytest.approx(math.log(4), rel=1e-12)
    assert class_kl(even, even) == class_js(even, even) == 0
    assert class_kl(torch.tensor([3, 1]), torch.tensor([1, 1])) == pytest.approx(
        0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25), rel=1e-12
    )
    assert class_js(even, one) == class_js(one, even)
    assert class_js(torch.tensor([1, 0]), torch.tensor([0, 7])) == pytest.approx(math.log(2), rel=1e-12)


def test_a_class_without_a_real_image_counts_as_half_of_one():
    found = class_kl(torch.tensor([9, 0]), torch.tensor([0, 5]))
    assert found == pytest.approx(-math.log(0.5 / 9.5), rel=1e-12)


# --- MS-SSIM


def ssim_by_convolution(x, y, window=11):
    """(SSIM, its contrast-structure part) of two images [H, W], by sums written out."""
    from scipy.signal import convolve2d

    offsets = np.arange(window) - (window - 1) / 2
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()

    def blur(image):
        return convolve2d(image, kernel, mode="valid")

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    structure = (2 * cov + 0.03**2) / (vx + vy + 0.03**2)
    return ((2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2) * structure).mean(), structure.mean()


def ms_ssim_by_hand(x, y, weights):
    product = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            x, y = (a.reshape(len(a) // 2, 2, -1, 2).mean(axis=(1, 3)) for a in (x, y))
        ssim, structure = ssim_by_convolution(x, y, min(11, len(x)))
        product *= max(ssim if scale == len(weights) - 1 else structure, 0.0) ** weight
    return product


@pytest.mark.parametrize("size", [128, 32, 8])
def test_ms_ssim_equals_sums_written_out(size):
    base = uniform(1, 3, size, size)
    images = (base + 0.3 * (uniform(3, 3, size, size, seed=1) - 0.5)).clamp(0, 1)
    weights = scale_weights(size, size)
    expected = [
        np.mean([ms_ssim_by_hand(*(images[k, c].double().numpy() for k in pair), weights) for c in range(3)])
        for pair in ((0, 1), (0, 2), (1, 2))
    ]
    assert pairwise(images).tolist() == pytest.approx(expected, rel=1e-4)
    assert 0.3 < expected[0] < 0.999


def test_five_scales_from_128_px_on():
    assert scale_weights(128, 128) == scale_weights(256, 300) == WEIGHTS
    assert [len(scale_weights(size, size)) for size in (8, 15, 16, 32, 64, 127)] == [1, 1, 2, 3, 4, 4]
    assert sum(scale_weights(32, 32)) == pytest.approx(1)


def test_ms_ssim_of_flat_images_has_a_closed_form():
    a, b = 0.2, 0.7
    images = torch.stack([torch.full((1, 128, 128), value) for value in (a, b)])
    luminance = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    assert float(pairwise(images)) == pytest.approx(luminance ** WEIGHTS[-1], rel=1e-3)


def test_equal_images_are_alike_and_batches_are_averaged():
    images = uniform(1, 1, 16, 16).expand(64, -1, -1, -1)
    assert mean_similarity(images) == pytest.approx(1, abs=1e-5)
    other = uniform(64, 1, 16, 16, seed=1)
    both = (1 + float(pairwise(other).mean())) / 2
    assert mean_similarity(torch.cat([images, other, other[:9]])) == pytest.approx(both, rel=1e-5)
    sixth = torch.cat([images] * 5 + [other])
    assert mean_similarity(sixth) == pytest.approx(1, abs=1e-5)
    assert 0 <= mean_similarity(other[:2]) < 0.9


def test_odd_sizes_and_opposite_images_have_a_similarity():
    images = torch.stack([torch.eye(33), 1 - torch.eye(33)])[:, None]
    assert float(pairwise(images)) == 0  # a negative term counts as 0


# --- Frechet distance at infinity


def test_the_intercept_of_a_line_is_found(monkeypatch):
    monkeypatch.setattr(
        "study.metrics.scores.frechet_infinity.frechet_distance", lambda real, fake: 7 + 30 / fake.count
    )
    assert frechet_infinity(None, torch.zeros(1000, 4)) == pytest.approx(7, rel=1e-9)


def test_the_bias_of_few_images_is_gone():
    moments = Moments.of(random(100_000, 16))
    fakes = [random(2_000, 16, seed=seed) for seed in range(1, 11)]
    plain = np.mean([frechet_distance(moments, Moments.of(fake)) for fake in fakes])
    assert abs(np.mean([frechet_infinity(moments, fake) for fake in fakes])) < 0.25 * plain
    fake = fakes[0]
    shifted = frechet_infinity(moments, fake + 0.5)  # 16 * 0.5^2 away
    assert shifted == pytest.approx(4, abs=0.25)


def test_the_smallest_number_of_images():
    assert [smallest(50_000, 2048), smallest(10_000, 2048), smallest(600, 32), smallest(4, 32)] == [5000, 4096, 64, 2]


# --- the menu


def test_the_menu_fills_every_column_once():
    assert sorted(columns(tuple(METRICS))) == sorted(field_names(Scores))
