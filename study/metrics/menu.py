"""The menu of metrics besides the Frechet distance: what each metric needs, and which columns it fills."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from study.core.errors import InputError, look_up
from study.core.evaluation import MetricProtocol, Scores
from study.metrics.extractors.extractor import Extractor
from study.metrics.sample import CLASSES, FEATURES, IMAGES, ImageStatistics, collected
from study.metrics.scores.frechet_infinity import frechet_infinity
from study.metrics.scores.inception_score import inception_score
from study.metrics.scores.kernel import kernel_distance, subset_size
from study.metrics.scores.mode_coverage import class_js, class_kl, classes_hit
from study.metrics.scores.ms_ssim import mean_similarity
from study.metrics.scores.precision_recall import NEIGHBOURS, precision_recall


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One entry of the menu.

    Attributes:
        description: one line.
        columns: columns of evaluations.parquet that it fills.
        compute: (real images, generated images, protocol) -> the values of its columns, in order.
        real, fake: the statistics that it needs of either set besides the moments; see `study.metrics.sample`.
        min_images: minimum number of images in either set.
        default: whether it is computed by default: it takes almost no time once the features are computed.
    """

    description: str
    columns: tuple[str, ...]
    compute: Callable[[ImageStatistics, ImageStatistics, MetricProtocol], tuple[float, ...]]
    real: frozenset[str] = frozenset()
    fake: frozenset[str] = frozenset()
    min_images: int = 2
    default: bool = False


def _kid(real: ImageStatistics, fake: ImageStatistics, protocol: MetricProtocol) -> tuple[float, ...]:
    size = subset_size(protocol.n_real, protocol.n_fake, protocol.kid_subset)
    return kernel_distance(collected(real.features), collected(fake.features), size)


def _modes(real: ImageStatistics, fake: ImageStatistics, protocol: MetricProtocol) -> tuple[float, ...]:
    r, g = collected(real.classes).hits, collected(fake.classes).hits
    return classes_hit(g), class_kl(r, g), class_js(r, g)


METRICS: Mapping[str, Metric] = {
    "is": Metric(
        description="Inception Score with the extractor's classes",
        columns=("inception_score",),
        compute=lambda real, fake, protocol: (inception_score(collected(fake.classes)),),
        fake=frozenset({CLASSES}),
        default=True,
    ),
    "modes": Metric(
        description="classes reached, and divergence of their histogram from the real one; needs the classifier",
        columns=("classes_hit", "class_kl", "class_js"),
        compute=_modes,
        real=frozenset({CLASSES}),
        fake=frozenset({CLASSES}),
        default=True,
    ),
    "kid": Metric(
        description="kernel distance (KID), unbiased, mean and deviation over 100 random subsets",
        columns=("kernel_distance", "kernel_distance_std"),
        compute=_kid,
        real=frozenset({FEATURES}),
        fake=frozenset({FEATURES}),
    ),
    "prc": Metric(
        description="precision and recall with 3 nearest neighbours",
        columns=("precision", "recall"),
        compute=lambda real, fake, protocol: precision_recall(collected(real.features), collected(fake.features)),
        real=frozenset({FEATURES}),
        fake=frozenset({FEATURES}),
        min_images=NEIGHBOURS + 1,
    ),
    "ms_ssim": Metric(
        description="mean MS-SSIM of pairs of generated images, 5 batches of 64",
        columns=("ms_ssim",),
        compute=lambda real, fake, protocol: (mean_similarity(collected(fake.images)),),
        fake=frozenset({IMAGES}),
    ),
    "infinity": Metric(
        description="Frechet distance extrapolated to an infinite number of generated images",
        columns=("frechet_distance_infinity",),
        compute=lambda real, fake, protocol: (frechet_infinity(real.moments, collected(fake.features)),),
        fake=frozenset({FEATURES}),
        min_images=4,
    ),
}


def resolve_metrics(requested: str | None, extractor: Extractor, protocol: MetricProtocol) -> tuple[str, ...]:
    """The metrics named in `requested`, in the order of the menu.

    `requested` is a list of names separated by commas, `all` or `none`; None gives the default metrics that the
    extractor supports, and `all` gives all that it supports. Raises InputError for an unknown name, and for a metric
    that the extractor or the protocol does not support.
    """
    possible = tuple(name for name in METRICS if not _missing_requirement(name, extractor, protocol))
    if requested is None:
        return tuple(name for name in possible if METRICS[name].default)
    if requested == "all":
        return possible
    names = [name.strip() for name in requested.split(",")] if requested != "none" else []
    for name in names:
        look_up("--metrics", name, METRICS)
        if problem := _missing_requirement(name, extractor, protocol):
            raise InputError(f"--metrics {name}: {problem}, or remove this metric.")
    return tuple(name for name in METRICS if name in names)


def _missing_requirement(name: str, extractor: Extractor, protocol: MetricProtocol) -> str | None:
    """Why a metric cannot be computed, with the remedy; None if it can."""
    metric = METRICS[name]
    if name == "modes" and not extractor.dataset_classes:
        return (
            f"{extractor.name} does not know the dataset's classes; use --extractor classifier with a labelled dataset"
        )
    if CLASSES in metric.fake and extractor.logits is None:
        return f"{extractor.name} has no classes; use --extractor inception-v3-compat or classifier"
    if min(protocol.n_real, protocol.n_fake) < metric.min_images:
        return f"needs at least {metric.min_images} real and generated images; raise --n-real and --n-fake"
    return None


def columns(names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of evaluations.parquet that the named metrics fill."""
    return tuple(column for name in names for column in METRICS[name].columns)


def compute(names: tuple[str, ...], real: ImageStatistics, fake: ImageStatistics, protocol: MetricProtocol) -> Scores:
    """The scores by the named metrics; None in the columns of other metrics."""
    values: dict[str, Any] = {}
    for name in names:
        metric = METRICS[name]
        values |= zip(metric.columns, metric.compute(real, fake, protocol), strict=True)
    return Scores(**values)
