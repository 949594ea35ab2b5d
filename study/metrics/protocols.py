"""From the name of a metric protocol and a dataset to the protocol (`study.core.evaluation.PROTOCOLS` is the menu)."""

from study.core.errors import InputError, look_up
from study.core.evaluation import FEATURE_PRECISIONS, PROTOCOLS, STUDY, MetricProtocol
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
    """The protocol called `name` on a dataset, with an extractor.

    Either number of images may be given instead of the protocol's; the real ones are otherwise as many as it says, or
    all of the split where that has fewer. `default_n` is the dataset's own number. Raises InputError for an unknown
    name or precision, a number below 2, more real images than there are, and subsets that do not fit in the images.
    """
    named = look_up("--protocol", name, PROTOCOLS)
    look_up("--feature-precision", feature_precision, {each: each for each in FEATURE_PRECISIONS})
    available = len({"train": images.train, "test": images.test}[named.split])
    if n_real is not None and n_real > available:
        raise InputError(
            f"--n-real {n_real}: the {named.split} split has {available} images; ask for at most that many."
        )
    for option, number in (("--n-real", n_real), ("--n-fake", n_fake)):
        if number is not None and number < 2:
            raise InputError(f"{option} {number}: a covariance needs at least 2 images.")
    n_real = min(named.n_real or default_n, available) if n_real is None else n_real
    if n_fake is None:
        n_fake = named.n_fake or min(default_n, available)
    if kid_subset is not None and not 2 <= kid_subset <= min(n_real, n_fake):
        raise InputError(f"--kid-subset {kid_subset}: must be from 2 to {min(n_real, n_fake)}, the images on a side.")
    return MetricProtocol(
        extractor=extractor.name,
        weights_sha256=extractor.weights_sha256,
        n_real=n_real,
        n_fake=n_fake,
        resize=extractor.resize,
        quantize=named.quantize,
        split=named.split,
        kid_subset=kid_subset,
        feature_precision=feature_precision,
    )
