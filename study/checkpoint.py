"""Generators kept on disk, so that a trial can be sampled and scored again without training it again."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from study.gan.model import Gan, State, Tensors, build
from study.names import InputError
from study.results import sync_and_replace, temporary_name
from study.trial import Trial


class Generator(NamedTuple):
    """A kept generator: its trial, the D update after which it was kept, and what it computes with."""

    trial: Trial
    step: int
    gan: Gan
    parameters: Tensors
    buffers: Tensors

    def __call__(self, latents: Tensor) -> Tensor:
        """Images [N, C, H, W] in [0, 1] for latents [N, latent_dim], with the moving averages."""
        device = next(iter(self.parameters.values())).device
        with torch.no_grad():
            return self.gan.sample(self.parameters, self.buffers, latents.to(device))

    def to(self, device: str) -> "Generator":
        """The same generator, computing on `device`."""
        tensors = ({name: value.to(device) for name, value in part.items()} for part in (self.parameters, self.buffers))
        return self._replace(**dict(zip(("parameters", "buffers"), tensors, strict=True)))


def save_generator(path: Path, trial: Trial, step: int, shape: tuple[int, int], state: State) -> None:
    """Keep a generator of images of shape (channels, resolution), replacing an earlier one at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "trial": trial.to_dict(),
        "step": step,
        "shape": list(shape),
        "parameters": {name: tensor.cpu().clone() for name, tensor in state.generator.items()},
        "buffers": {name: tensor.cpu().clone() for name, tensor in state.generator_buffers.items()},
    }
    temporary = temporary_name(path)
    try:
        torch.save(content, temporary)
        sync_and_replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_generator(path: Path) -> Generator:
    """The generator that `save_generator` kept; raises InputError where the file is missing or cannot be used."""
    if not path.is_file():
        raise InputError(f"{path}: no generator is kept there; it is kept when a trial finishes with a score.")
    try:
        content = torch.load(path, weights_only=True)
        trial = Trial.from_dict(content["trial"])
        gan = build(trial, *content["shape"])
        kept = Generator(trial, content["step"], gan, content["parameters"], content["buffers"])
        wanted = dict(gan.generator.named_parameters()), dict(gan.generator.named_buffers())
        if (_shapes(kept.parameters), _shapes(kept.buffers)) != (_shapes(wanted[0]), _shapes(wanted[1])):
            raise ValueError("its tensors are not those of its trial")
    except Exception as error:  # a damaged file can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{path}: not a readable generator ({reason}); train it again.") from error
    return kept


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
