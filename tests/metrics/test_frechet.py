"""The Frechet distance and the statistics it is made of, against closed forms and against torch-fidelity."""

from functools import reduce
from operator import add

import numpy as np
import pytest
import torch

from study.metrics.extractors.torchvision_guard import import_torchvision
from study.metrics.scores.frechet import Moments, frechet_distance
from tests.conftest import quick_only


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(mean, covariance, count=10**6):
    """Moments with exactly this mean and covariance."""
    return Moments(count, torch.as_tensor(mean).double(), torch.as_tensor(covariance).double() * (count - 1))


def orthogonal(dimension, seed=0):
    return torch.linalg.qr(random(dimension, dimension, seed=seed))[0]


def by_torch_fidelity(*sets):
    import_torchvision()
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    return fid_statistics_to_metric(*map(fid_features_to_statistics, sets), verbose=False)[KEY_METRIC_FID]


@pytest.mark.parametrize("sizes", [[100], [64, 36], [1] * 100, [99, 1]])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_moments_in_batches_equal_numpy(sizes, offset):
    features = random(100, 7) + offset
    moments = reduce(add, map(Moments.of, features.split(sizes)))
    assert moments.count == 100
    # 1e-12, or what float64 can hold of the features themselves.
    tolerance = max(1e-12, 100 * np.finfo(float).eps * offset)
    np.testing.assert_allclose(moments.mean, features.numpy().mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(features.numpy(), rowvar=False), rtol=0, atol=tolerance)


def test_moments_are_float64_whatever_the_features():
    features = random(50, 3).float()
    assert torch.equal(Moments.of(features).scatter, Moments.of(features.double()).scatter)
    assert Moments.of(features).mean.dtype == torch.float64


def test_moments_survive_arrays():
    moments = Moments.of(random(20, 3))
    again = Moments.from_arrays(moments.arrays())
    assert again.count == 20 and torch.equal(again.mean, moments.mean) and torch.equal(again.scatter, moments.scatter)


@pytest.mark.parametrize(
    "change",
    [{"mean": np.zeros(4)}, {"scatter": np.zeros((3, 2))}, {"mean": np.full(3, np.nan)}, {"count": np.zeros(2)}],
)
def test_arrays_that_are_no_moments_are_refused(change):
    with pytest.raises(ValueError):
        Moments.from_arrays({**Moments.of(random(20, 3)).arrays(), **change})
    with pytest.raises(ValueError):
        Moments.from_arrays({name: np.zeros(3) for name in ("count", "mean")})


def test_one_feature_has_no_covariance():
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(Moments.of(random(1, 3)), Moments.of(random(10, 3)))


def test_diagonal_gaussians_have_a_closed_form():
    a, b = gaussian([1.0, 2.0, 0.0], torch.diag(torch.tensor([4.0, 1.0, 9.0]))), gaussian([0.0, 0.0, 0.0], torch.eye(3))
    # |mean|^2 + the sum of (sigma_a - sigma_b)^2 = 5 + 1 + 0 + 4
    assert frechet_distance(a, b) == pytest.approx(10, abs=1e-12)
    assert frechet_distance(b, a) == pytest.approx(10, abs=1e-12)


def test_commuting_full_gaussians_have_a_closed_form():
    basis, spectra = orthogonal(6), random(2, 6, seed=1).exp()
    a, b = (gaussian(torch.zeros(6), basis @ torch.diag(spectrum) @ basis.T) for spectrum in spectra)
    expected = float((spectra[0].sqrt() - spectra[1].sqrt()).square().sum())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_full_gaussians_in_two_dimensions_have_a_closed_form():
    factors = random(2, 2, 2, seed=3)
    first, second = (factor @ factor.T for factor in factors)
    # For 2x2: tr (AB)^(1/2) = (tr AB + 2 sqrt det AB)^(1/2).
    root = (torch.trace(first @ second) + 2 * torch.linalg.det(first @ second).sqrt()).sqrt()
    expected = float(first.trace() + second.trace() - 2 * root)
    distance = frechet_distance(gaussian([0, 0], first), gaussian([0, 0], second))
    assert distance == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("ranks", [(3, 8), (8, 3), (3, 5)])
def test_singular_gaussians_have_a_closed_form(ranks):
    basis = orthogonal(8)
    spectra = [torch.cat([random(rank, seed=rank).exp(), torch.zeros(8 - rank, dtype=torch.float64)]) for rank in ranks]
    a, b = (gaussian(torch.zeros(8), basis @ torch.diag(spectrum) @ basis.T) for spectrum in spectra)
    expected = float((spectra[0].sqrt() - spectra[1].sqrt()).square().sum())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-7)


def test_fewer_features_than_dimensions_against_a_singular_value_decomposition():
    """tr (AB)^(1/2) is the sum of the singular values of X Y^T, for centred features X, Y over sqrt(n - 1)."""
    x, y = random(20, 50), random(30, 50, seed=1) * 2 + 1
    centred = [(features - features.mean(0)) / (len(features) - 1) ** 0.5 for features in (x, y)]
    trace = torch.linalg.svdvals(centred[0] @ centred[1].T).sum()
    expected = (x.mean(0) - y.mean(0)).square().sum() + sum(part.square().sum() for part in centred) - 2 * trace
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(float(expected), rel=1e-12)
    assert frechet_distance(Moments.of(y), Moments.of(x)) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(("n", "dimension"), [(600, 32), (500, 128), (40, 64)])
def test_agrees_with_torch_fidelity(n, dimension):
    mixing = random(dimension, dimension, seed=2)
    x, y = random(n, dimension) @ mixing, random(n, dimension, seed=1) @ mixing * 1.2 + 0.3
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(by_torch_fidelity(x, y), rel=1e-6)


def test_agrees_with_scipys_square_root_of_a_matrix():
    from scipy.linalg import sqrtm

    x, y = random(200, 24), random(300, 24, seed=1) @ random(24, 24, seed=2)
    first, second = (np.cov(features.numpy(), rowvar=False) for features in (x, y))
    root = np.trace(sqrtm(first @ second)).real
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + np.trace(first) + np.trace(second) - 2 * root
    assert frechet_distance(Moments.of(x), Moments.of(y)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n", [5, 64, 1000])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_of_a_set_with_itself_is_zero_and_never_negative(n, scale):
    moments = Moments.of(random(n, 16) * scale)
    assert 0 <= frechet_distance(moments, moments) <= 1e-10 * scale**2


def test_of_constant_features_is_the_distance_of_the_means():
    a, b = Moments.of(torch.zeros(10, 4)), Moments.of(torch.ones(10, 4))
    assert frechet_distance(a, b) == pytest.approx(4, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), quick_only([(900, 800), (900, 300), (300, 900)], [(300, 900)]))
def test_cholesky_by_blocks_equals_the_eigenvectors(n, m):
    """More dimensions than a block; where one side has fewer features than those, the other one's triangle serves."""
    dimension = 600
    mixing = random(dimension, dimension, seed=2) / dimension**0.5
    x, y = random(n, dimension) @ mixing, random(m, dimension, seed=1) @ mixing * 1.2 + 0.1
    a, b = Moments.of(x), Moments.of(y)
    assert (a.triangle is not None) == (n > dimension)
    by_roots = torch.linalg.svdvals(a.root.T @ b.root).sum()
    traces = a.covariance.trace() + b.covariance.trace()
    expected = float((a.mean - b.mean).square().sum() + traces - 2 * by_roots)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(a, b) == pytest.approx(by_torch_fidelity(x, y), rel=1e-6)


def test_dead_and_repeated_features_have_no_triangle():
    x, y = random(500, 20), random(400, 20, seed=1) * 1.5
    for features in (x, y):
        features[:, 3] = 0
        features[:, 5] = features[:, 6]
    a, b = Moments.of(x), Moments.of(y)
    assert a.triangle is None and b.triangle is None
    assert frechet_distance(a, b) == pytest.approx(by_torch_fidelity(x, y), rel=1e-6)
