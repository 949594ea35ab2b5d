"""How a trial is scored, and what a scored checkpoint tells. Standard library only, as `study.core.trial`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from study.core.errors import InputError
from study.core.trial import BFLOAT16, FLOAT32, content_id, field_values, integer

FEATURE_PRECISIONS = (FLOAT32, BFLOAT16)

STUDY = "study"


@dataclass(frozen=True, kw_only=True)
class ProtocolRecipe:
    """A protocol before it knows the dataset.

    Attributes:
        split: whose images are the real ones.
        n_real: how many of them at most; None for the dataset's own number (10,000 in the study).
        n_fake: generated images; None for as many as real ones.
        quantize: whether generated images are rounded to uint8, as they are where images are saved before scoring.
    """

    description: str
    split: str = "test"
    n_real: int | None = None
    n_fake: int | None = None
    quantize: bool = True


PROTOCOLS: Mapping[str, ProtocolRecipe] = {
    STUDY: ProtocolRecipe(
        description="the study's (section 4): held-out images against as many generated ones, not rounded to uint8",
        quantize=False,
    ),
    "rounded": ProtocolRecipe(description="the study's numbers of images, generated ones rounded to uint8"),
    "test-5k": ProtocolRecipe(
        description="10,000 held-out images against 5,000 generated ones", n_real=10_000, n_fake=5_000
    ),
    "train-50k": ProtocolRecipe(
        description="the whole training split against 50,000 generated images, as most later papers report",
        split="train",
        n_real=2**62,
        n_fake=50_000,
    ),
}


@dataclass(frozen=True, kw_only=True)
class MetricProtocol:
    """How generated images are scored. A score without its protocol does not exist.

    Attributes:
        extractor: name of the feature network.
        weights_sha256: of the file that holds its weights.
        n_real, n_fake: images on either side.
        resize: how images reach the extractor's size (`none` where it takes them as they are).
        quantize: whether generated images are rounded to uint8 first; the study did not.
        split: which real images.
        dtype: of the statistics.
        seed: of the latents of the scored images (the released code's 42).
        kid_subset: features in a subset of the kernel distance; None for 1,000, or all where there are fewer.
        feature_precision: in which the extractor computes, one of FEATURE_PRECISIONS.
    """

    extractor: str
    weights_sha256: str
    n_real: int
    n_fake: int
    resize: str = "none"
    quantize: bool = False
    split: str = "test"
    dtype: str = "float64"
    seed: int = 42
    kid_subset: int | None = None
    feature_precision: str = FLOAT32

    def __post_init__(self) -> None:
        if self.feature_precision not in FEATURE_PRECISIONS:
            known = ", ".join(FEATURE_PRECISIONS)
            raise InputError(f"feature_precision {self.feature_precision}: unknown. Known: {known}.")
        if self.kid_subset is not None:
            object.__setattr__(self, "kid_subset", integer("kid_subset", self.kid_subset, 2))
        for field in ("n_real", "n_fake"):
            object.__setattr__(self, field, integer(field, getattr(self, field), 2))
        object.__setattr__(self, "seed", integer("protocol seed", self.seed, 0))
        object.__setattr__(self, "quantize", bool(self.quantize))

    @property
    def identity_fields(self) -> dict[str, Any]:
        """The fields that tell it from others: not those that came when there were rows, while at their defaults."""
        later = {"kid_subset": None, "feature_precision": FLOAT32}
        return {name: value for name, value in field_values(self).items() if name not in later or value != later[name]}

    @cached_property
    def id(self) -> str:
        """Hash of `identity_fields`."""
        return content_id(self.identity_fields, length=12)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What was measured beside the Frechet distance, under the same protocol; None for what was not asked for.

    Attributes:
        kernel_distance, kernel_distance_std: mean and standard deviation over random subsets; 0 is best.
        inception_score: by the extractor's own classes; the more the better.
        precision, recall: shares of generated and of real images inside the other set's manifold; 1 is best.
        ms_ssim: mean similarity of pairs of generated images; the lower, the more diverse.
        classes_hit, class_kl, class_js: how many classes have a generated image, and how their histogram differs from
            the real images', nats; 0 is best for the divergences.
        frechet_distance_infinity: the Frechet distance extrapolated to infinitely many generated images.
    """

    kernel_distance: float | None = None
    kernel_distance_std: float | None = None
    inception_score: float | None = None
    precision: float | None = None
    recall: float | None = None
    ms_ssim: float | None = None
    classes_hit: int | None = None
    class_kl: float | None = None
    class_js: float | None = None
    frechet_distance_infinity: float | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """What a checkpoint tells of the discriminator (D) beside the score; None where there is no such value.

    "train", "test" and "fake" are one batch each of training, held-out and generated images, "between" are random
    points between training and generated ones. D is as it computes: normalised, its images in [0, 1].

    Attributes:
        sigmas: the largest singular value of each layer's weight, in the order of D's layers, kernels flattened to
            [out, in * h * w]; their product bounds nothing (see operator_norms).
        sigma_product: their product.
        operator_norms: the norm of each layer as a linear map of images of the size that it sees, only on request.
        gradient_norm_...: mean and maximum over images of the norm of D's gradient with respect to the image.
        accuracy_...: the share of images that D judges rightly; None where its output is no judgement.
        flat_train, flat_fake: the share of images on whose outputs D's loss has all but stopped to depend: derivative
            of the image's own term below 0.01. flat_generator: the same of G's loss.
        extreme_pixels: the share of generated pixel values that round to 0 or 255.
    """

    sigmas: list[float] | None = None
    sigma_product: float | None = None
    operator_norms: list[float] | None = None
    gradient_norm_train: float | None = None
    gradient_norm_train_max: float | None = None
    gradient_norm_fake: float | None = None
    gradient_norm_fake_max: float | None = None
    gradient_norm_between: float | None = None
    gradient_norm_between_max: float | None = None
    accuracy_train: float | None = None
    accuracy_test: float | None = None
    accuracy_fake: float | None = None
    flat_train: float | None = None
    flat_fake: float | None = None
    flat_generator: float | None = None
    extreme_pixels: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One scored checkpoint of a trial.

    Attributes:
        discriminator_step: D updates so far.
        frechet_distance: under the protocol; 0 is best. None where the generator's images are not finite.
        discriminator_loss, generator_loss, penalty: means over the updates since the last evaluation; D's loss without
            its penalty, and the penalty before its weight (0 where there is none). None where a kept generator was
            scored later.
        scores, diagnostics: see `Scores` and `Diagnostics`.
    """

    trial_id: str
    discriminator_step: int
    protocol_id: str
    frechet_distance: float | None
    discriminator_loss: float | None
    generator_loss: float | None
    penalty: float | None
    scores: Scores = Scores()
    diagnostics: Diagnostics = Diagnostics()

    def to_row(self) -> dict[str, Any]:
        """All values by the names of their columns."""
        content = asdict(self)
        scores, diagnostics = content.pop("scores"), content.pop("diagnostics")
        return {**content, **scores, **diagnostics}
