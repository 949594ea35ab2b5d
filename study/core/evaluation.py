"""How a trial is scored, and the content of a scored checkpoint; needs only the standard library."""

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
    """A protocol that is not yet applied to a dataset.

    Attributes:
        description: one line.
        split: the split of the real images.
        n_real: maximum number of real images; None for the dataset's default (10,000 in the study).
        n_fake: number of generated images; None for the number of real images.
        quantize: whether generated images are rounded to uint8, as happens if images are saved before scoring.
    """

    description: str
    split: str = "test"
    n_real: int | None = None
    n_fake: int | None = None
    quantize: bool = True


PROTOCOLS: Mapping[str, ProtocolRecipe] = {
    STUDY: ProtocolRecipe(
        description="the study's (section 4): equal numbers of held-out and generated images, not rounded to uint8",
        quantize=False,
    ),
    "rounded": ProtocolRecipe(description="as `study`, but generated images are rounded to uint8"),
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
    """How generated images are scored. Every score is stored with its protocol.

    Raises InputError, when it is made, for numbers and names out of range.

    Attributes:
        extractor: name of the feature network.
        weights_sha256: hash of the file with its weights.
        n_real, n_fake: numbers of real and generated images, 2 or more.
        resize: how images are resized for the extractor (`none` if it takes them as they are).
        quantize: whether generated images are rounded to uint8 before scoring; in the study they are not.
        split: the split of the real images.
        dtype: floating-point type of the statistics.
        seed: seed of the latents of the scored images (42, as in the released code).
        kid_subset: subset size of the kernel distance, 2 or more; None for 1,000, or all features if there are fewer.
        feature_precision: arithmetic of the extractor, one of FEATURE_PRECISIONS.
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
        """The fields that enter `id`. Fields that were added later count only if they are not at their defaults."""
        later = {"kid_subset": None, "feature_precision": FLOAT32}
        return {name: value for name, value in field_values(self).items() if name not in later or value != later[name]}

    @cached_property
    def id(self) -> str:
        """Hash of `identity_fields`, 12 hexadecimal digits."""
        return content_id(self.identity_fields, length=12)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Additional metrics beside the Frechet distance, under the same protocol; None if not requested.

    Attributes:
        kernel_distance, kernel_distance_std: mean and standard deviation over random subsets; 0 is best.
        inception_score: from the extractor's own classes; higher is better.
        precision, recall: shares of generated and of real images inside the other set's manifold; 1 is best.
        ms_ssim: mean similarity of pairs of generated images; lower means more diverse.
        classes_hit: number of classes with at least one generated image.
        class_kl, class_js: divergences between the class histograms of generated and real images, in nats; 0 is best.
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
    """Diagnostics of the discriminator (D) at a checkpoint; None if a value does not exist.

    "train", "test" and "fake" stand for one batch each of training, held-out and generated images, "between" for random
    interpolations of training and generated images. D is used as in training: normalised, with images in [0, 1].

    Attributes:
        sigmas: the largest singular value of each layer's weight, in the order of D's layers, with kernels reshaped to
            [out, in * h * w]; their product is not a Lipschitz bound (see operator_norms).
        sigma_product: the product of `sigmas`.
        operator_norms: the norm of each layer as a linear map on its inputs; only on request.
        gradient_norm_...: mean and maximum over images of the norm of D's gradient with respect to the image.
        accuracy_...: the share of images that D classifies correctly; None if D's output is not a classification.
        flat_train, flat_fake: the share of images for which D's loss is saturated: the derivative of the image's loss
            with respect to D's output is below 0.01 in absolute value.
        flat_generator: the same share for G's loss.
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
        trial_id, protocol_id: the trial and the metric protocol.
        discriminator_step: number of D updates so far.
        frechet_distance: under the protocol; 0 is best. None if the generated images are not finite.
        discriminator_loss, generator_loss, penalty: means over the updates since the last evaluation; D's loss without
            the penalty, and the penalty before it is weighted (0 without a penalty). None if a kept generator was
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
        """All values by column name, one level deep."""
        content = asdict(self)
        scores, diagnostics = content.pop("scores"), content.pop("diagnostics")
        return {**content, **scores, **diagnostics}
