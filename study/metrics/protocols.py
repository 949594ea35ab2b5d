"""From the name of a metric protocol and a dataset to the protocol (the menu is `study.core.evaluation.PROTOCOLS`)."""

from study.core.errors import InputError, look_up
from study.core.evaluation import FEATURE_PRECISIONS, PROTOCOLS, STUDY, MetricProtocol
from study.core.text import plural
from study.core.trial import FLOAT32
from study.data import Images
from study.metrics.extractors.extractor import Extractor


def resolve_protocol(
    images: Images,
    extractor: Extractor,
    n_real: int | None = None,
    n_fake: int | None = None,
    default_n: int = 10_000,
    *,
    name: str = STUDY,
    kid_subset: int | None = None,
    feature_precision: str = FLOAT32,
) -> MetricProtocol:
    """The protocol called `name` for a dataset and an extractor.

    Args:
        images: the prepared dataset.
        extractor: the feature network.
        n_real, n_fake: numbers of images instead of the protocol's own; without `n_real`, it is the protocol's
            number or, if the split has fewer images, all of them.
        default_n: the dataset's own number of images, for protocols without a number.
        name: of the protocol, a key of `study.core.evaluation.PROTOCOLS`.
        kid_subset: images in a subset of the kernel distance.
        feature_precision: arithmetic of the extractor, one of FEATURE_PRECISIONS.

    Raises InputError for an unknown name or precision, a number below 2, more real images than the split has, and a
    subset larger than either set of images.
    """
    recipe = look_up("--protocol", name, PROTOCOLS)
    look_up("--feature-precision", feature_precision, {precision: precision for precision in FEATURE_PRECISIONS})
    available = len({"train": images.train, "test": images.test}[recipe.split])
    if n_real is not None and n_real > available:
        raise InputError(
            f"--n-real {n_real}: the {recipe.split} split has only {available} {plural(available, 'image')}; use at"
            f" most {available}."
        )
    for option, number in (("--n-real", n_real), ("--n-fake", n_fake)):
        if number is not None and number < 2:
            raise InputError(f"{option} {number}: must be 2 or more, since a covariance needs 2 images.")
    n_real = min(recipe.n_real or default_n, available) if n_real is None else n_real
    if n_fake is None:
        n_fake = recipe.n_fake or min(default_n, available)
    if kid_subset is not None and not 2 <= kid_subset <= min(n_real, n_fake):
        raise InputError(
            f"--kid-subset {kid_subset}: must be from 2 to {min(n_real, n_fake)}, the size of the smaller set."
        )
    return MetricProtocol(
        extractor=extractor.name,
        weights_sha256=extractor.weights_sha256,
        n_real=n_real,
        n_fake=n_fake,
        resize=extractor.resize,
        quantize=recipe.quantize,
        split=recipe.split,
        kid_subset=kid_subset,
        feature_precision=feature_precision,
    )
