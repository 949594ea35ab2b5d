"""The definition of a trial and its id.

Every type here is immutable, and its values are validated and converted when it is made. Equal settings are therefore
equal objects with equal ids, wherever they were made and whether a number was given as 1, 1.0 or NumPy's 1. Needs only
the standard library, because search spaces and analysis use this file without torch or ray.
"""

import hashlib
import json
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Any

from study.core.errors import InputError

SEMANTICS = 2
"""Incremented when training changes its meaning, so that older and newer rows never count as the same trial.

2: G's moving variance averages biased variances, and the persistent singular vector is on the side of a layer's inputs.
"""

NON_SATURATING = "non_saturating"
OptionValue = bool | int | float | str


def _finite(value: Any) -> float | None:
    """The value as a float, -0.0 as 0.0; None if it is not a finite real number. A boolean is not a number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return None
    try:
        number = float(value) + 0.0
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def integer(field: str, value: Any, low: int) -> int:
    """A whole number in [low, 2**63), which fits in an integer column of the results; raises InputError."""
    number = _finite(value)
    if number is None or not number.is_integer() or not low <= value < 2**63:
        raise InputError(f"{field} {value!r}: must be a whole number, {low} or more (and below 2**63).")
    return int(value)


def _number(field: str, value: Any, low: float, high: float, *, open_low: bool = False) -> float:
    """A finite float in [low, high), or in (low, high) if `open_low`; raises InputError."""
    number = _finite(value)
    if number is None or number >= high or number < low or (open_low and number == low):
        lower = "above" if open_low else "at least"
        upper = f" and below {high:g}" if high < math.inf else ""
        raise InputError(f"{field} {value!r}: must be a finite number {lower} {low:g}{upper}.")
    return number


def _name(field: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{field} {value!r}: must be a name.")
    return value


def option_word(value: OptionValue) -> str:
    """The value of an option as it is written on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def content_id(content: Mapping[str, Any], length: int = 16) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of the canonical JSON of `content`."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]


@dataclass(frozen=True, kw_only=True)
class Method:
    """A GAN method: architecture, loss and regularization, without hyperparameters.

    Attributes:
        architecture: the pair of networks.
        loss: the objective of discriminator (D) and generator (G).
        normalizations: normalizations in D, sorted; at most one each of weights, layers and output.
        penalty: the term that is added to D's loss with weight `penalty_weight`, or None.
        constraint: an operation on D's weights or gradients at each update, or None.
        options: sorted (name, value) pairs, declared by the members that read them. Values at their declared defaults
            are omitted (see `study.gan.methods.menu.canonical`), so that a new option changes no existing trial id.
    """

    architecture: str
    loss: str = NON_SATURATING
    normalizations: tuple[str, ...] = ()
    penalty: str | None = None
    constraint: str | None = None
    options: tuple[tuple[str, OptionValue], ...] = ()

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        _name("architecture", self.architecture)
        _name("loss", self.loss)
        if isinstance(self.normalizations, str):
            raise InputError(f"normalizations {self.normalizations!r}: must be a list of names.")
        set_(self, "normalizations", tuple(sorted(_name("normalization", n) for n in self.normalizations)))
        if len(set(self.normalizations)) < len(self.normalizations):
            raise InputError(f"normalizations {', '.join(self.normalizations)}: each may be named once.")
        for field in ("penalty", "constraint"):
            if getattr(self, field) is not None:
                _name(field, getattr(self, field))
        pairs = dict(self.options)
        for name, value in pairs.items():
            _name("option", name)
            if isinstance(value, bool | str):
                continue
            number = _finite(value)
            if number is None:
                raise InputError(f"option {name} {value!r}: must be a finite number, a text, true or false.")
            pairs[name] = int(value) if number.is_integer() else number
        set_(self, "options", tuple(sorted(pairs.items())))

    @property
    def name(self) -> str:
        """The name on the command line and in figures: the parts joined by a plus sign, or `none`.

        >>> Method(architecture="sndcgan", normalizations=("spectral_norm",), penalty="gradient_penalty").name
        'spectral_norm+gradient_penalty'
        """
        loss = [] if self.loss == NON_SATURATING else [self.loss]
        parts = [*loss, *self.normalizations, *filter(None, (self.penalty, self.constraint))]
        options = ",".join(f"{name}={option_word(value)}" for name, value in self.options)
        return ("+".join(parts) or "none") + (f"[{options}]" if options else "")


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """The searched hyperparameters: Adam's settings, which both networks share, and the weight of the penalty.

    Attributes:
        learning_rate: above 0.
        beta1, beta2: Adam's decay rates, in [0, 1).
        n_dis: D updates per G update, 1 or more.
        penalty_weight: lambda, above 0; None if and only if the method has no penalty.
    """

    learning_rate: float
    beta1: float
    beta2: float
    n_dis: int
    penalty_weight: float | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "learning_rate", _number("learning_rate", self.learning_rate, 0, math.inf, open_low=True))
        set_(self, "beta1", _number("beta1", self.beta1, 0, 1))
        set_(self, "beta2", _number("beta2", self.beta2, 0, 1))
        set_(self, "n_dis", integer("n_dis", self.n_dis, 1))
        if self.penalty_weight is not None:
            set_(self, "penalty_weight", _number("penalty_weight", self.penalty_weight, 0, math.inf, open_low=True))


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings that are the same for all trials of a study on a dataset.

    Attributes:
        discriminator_steps: training length in D updates, the paper's unit (section 2.6).
        width: the unit of the networks' channel counts; 64 in the study, for every architecture.
        batch_size: images per batch; 64 in the study.
        latent_dim: dimension of the latent vectors; 128 in the study.
        precision: arithmetic of training, one of PRECISIONS; scoring always uses float32.
        data_seed: seed of the order of the real images, the same for all trials (547, as in the released code).
    """

    discriminator_steps: int
    width: int
    batch_size: int = 64
    latent_dim: int = 128
    precision: str = "float32"
    data_seed: int = 547

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for field in ("discriminator_steps", "width", "batch_size", "latent_dim"):
            set_(self, field, integer(field, getattr(self, field), 1))
        set_(self, "data_seed", integer("data_seed", self.data_seed, 0))
        if self.precision not in PRECISIONS:
            raise InputError(f"precision {self.precision}: unknown. Known: {', '.join(PRECISIONS)}.")


FLOAT32, TF32, BFLOAT16 = "float32", "tf32", "bfloat16"
PRECISIONS = {
    FLOAT32: "IEEE single precision throughout",
    TF32: "single precision with the factors of products rounded to 10 bits of mantissa; GPUs from Ampere on",
    BFLOAT16: "layers in bfloat16; parameters, moments, power iterations, losses and penalties in single precision",
}
"""Arithmetics of training, with descriptions."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training run. Trials with the same `id` are the same run, on any machine."""

    dataset: str
    method: Method
    hyperparameters: Hyperparameters
    training: Training
    seed: int = 0

    def __post_init__(self) -> None:
        _name("dataset", self.dataset)
        object.__setattr__(self, "seed", integer("seed", self.seed, 0))
        weight, penalty = self.hyperparameters.penalty_weight, self.method.penalty
        if penalty is None and weight is not None:
            raise InputError(f"penalty_weight {weight:g}: the method has no penalty; add one or leave the weight out.")
        if penalty is not None and weight is None:
            raise InputError(f"penalty_weight: {penalty} needs a weight; the study used 1 and 10.")

    @property
    def cell(self) -> tuple[str, Method, Training, int]:
        """Dataset, method, training and n_dis: trials with the same cell cost the same and can share one program."""
        return self.dataset, self.method, self.training, self.hyperparameters.n_dis

    @cached_property
    def id(self) -> str:
        """Hash of the trial and of SEMANTICS, 16 hexadecimal digits; does not depend on how often it is scored."""
        return content_id({"semantics": SEMANTICS, **self.to_dict()})

    def to_dict(self) -> dict[str, Any]:
        """Nested plain values for `from_dict`; options as a mapping."""
        method = {**field_values(self.method), "normalizations": list(self.method.normalizations)}
        return {
            **field_values(self),
            "method": {**method, "options": dict(self.method.options)},
            "hyperparameters": field_values(self.hyperparameters),
            "training": field_values(self.training),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Trial":
        """The trial that `to_dict` wrote; raises InputError for unknown or missing fields and bad values."""
        parts = dict(content)
        try:
            method = dict(parts.pop("method"))
            method["options"] = tuple(dict(method.get("options", {})).items())
            return cls(
                method=Method(**method),
                hyperparameters=Hyperparameters(**parts.pop("hyperparameters")),
                training=Training(**parts.pop("training")),
                **parts,
            )
        except InputError:
            raise
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(f"trial: {error}; must have exactly the fields of study.core.trial.Trial.") from error


def field_values(each: Any) -> dict[str, Any]:
    """The fields of a dataclass by name, without a deep copy as in `asdict`, which is slow for thousands of ids."""
    return {name: getattr(each, name) for name in field_names(each.__class__)}


@cache
def field_names(kind: type) -> tuple[str, ...]:
    """The names of the fields of a dataclass, in order."""
    return tuple(field.name for field in fields(kind))
