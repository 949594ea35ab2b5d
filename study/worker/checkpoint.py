"""What is kept of a trial on disk: its best generator, to be sampled and scored again, and all that it goes on from."""

import errno
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from study.core.errors import InputError
from study.core.evaluation import Evaluation
from study.core.trial import Trial
from study.gan.model import Gan, State, Tensors, build, empty_state
from study.gan.optimizers import AdamState
from study.storage.files import is_remote, replace
from study.storage.parts import read_evaluation
from study.storage.schema import TRAINING
from study.training.lockstep import LossTally, Position
from study.training.loop import Checkpoint, check_parameters


class Unreadable(InputError):  # noqa: N818
    """Storage, or the room on a GPU, failed while a file was read: that says nothing against the file."""


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


def save_generator(path: Path, generator: Generator, shape: tuple[int, int]) -> None:
    """Keep a generator of images of shape (channels, resolution), replacing an earlier one at once or not at all."""
    content = {
        "trial": generator.trial.to_dict(),
        "step": generator.step,
        "shape": list(shape),
        "parameters": generator.parameters,
        "buffers": generator.buffers,
    }
    _save(path, content)


def load_generator(path: Path, *, peek: bool = False) -> Generator:
    """The generator that `save_generator` kept; raises InputError where the file is missing or cannot be used.

    Raises Unreadable, which is one, where the next attempt may read it.

    `peek`: see `load_state`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no generator is kept there; it is kept when a trial finishes with a score.")
    try:
        content = _load(path, peek=peek)
        trial = Trial.from_dict(content["trial"])
        gan = build(trial, *content["shape"])
        kept = _read_generator(trial, gan, content)
    except Exception as error:  # a damaged file can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if _passes(error):
            raise Unreadable(f"{path}: cannot be read now ({reason}); try again.") from error
        raise InputError(f"{path}: not a readable generator ({reason}); train it again.") from error
    return kept


def _read_generator(trial: Trial, gan: Gan, content: Mapping[str, Any]) -> Generator:
    """The generator in plain data; raises an error where it is not one of this `gan`, tensor by tensor."""
    kept = Generator(trial, content["step"], gan, content["parameters"], content["buffers"])
    wanted = dict(gan.generator.named_parameters()), dict(gan.generator.named_buffers())
    if (_shapes(kept.parameters), _shapes(kept.buffers)) != (_shapes(wanted[0]), _shapes(wanted[1])):
        raise ValueError("its tensors are not those of its trial")
    return kept


FORMAT = 2
"""Of states; raised when what is in them changes meaning. 2: Adam's moments lie as kernels do, channels last."""
ADAMS = ("generator_adam", "discriminator_adam")


class Snapshot(NamedTuple):
    """What there is of a trial so far: all that training, its rows and its kept generator go on from.

    No random stream is part of it, nor the place in the data: what a step draws depends on its number alone
    (`study.training.loop`).

    Attributes:
        trial: what is trained.
        conditions: what, beside the trial, decides the evaluations (`study.core.context.Context.conditions`).
        evaluations: all so far.
        best: the generator of the lowest score, the first of equals; None before the first checkpoint.
        position: where training goes on, at the last checkpoint or after it; None before the first step.
        source: see `study.storage.schema.TrialRecord`.
        resumptions: how often it went on from a file after an interruption.
    """

    trial: Trial
    conditions: Mapping[str, Any]
    evaluations: tuple[Evaluation, ...] = ()
    best: Generator | None = None
    position: Position | None = None
    source: str = TRAINING
    resumptions: int = 0

    @property
    def lowest(self) -> Evaluation | None:
        """The evaluation of `best`."""
        return min(self.evaluations, key=lambda e: (float(e.frechet_distance), e.discriminator_step), default=None)

    def differing(self, conditions: Mapping[str, Any]) -> list[str]:
        """The names of the conditions that are others."""
        return [name for name, value in conditions.items() if self.conditions.get(name) != value]

    def after(self, checkpoint: Checkpoint) -> "Snapshot":
        """What there is after one more checkpoint."""
        more = self._replace(evaluations=(*self.evaluations, checkpoint.evaluation), position=checkpoint.position)
        is_best = more.lowest is checkpoint.evaluation
        return more._replace(best=generator_of(self.trial, checkpoint)) if is_best else more


def generator_of(trial: Trial, checkpoint: Checkpoint) -> Generator:
    """The generator at a checkpoint of a trial."""
    state, step = checkpoint.state, checkpoint.evaluation.discriminator_step
    return Generator(trial, step, checkpoint.gan, state.generator, state.generator_buffers)


def save_state(path: Path, snapshot: Snapshot, shape: tuple[int, int]) -> None:
    """Keep a snapshot that has a position, of a trial on images of shape (channels, resolution), at once or not at all.

    The layout of the tensors in memory is kept too: convolutions round differently in another.

    Raises Diverged, and leaves what is there, where a parameter is not finite: nothing good comes of such a state.
    """
    position, best = snapshot.position, snapshot.best
    check_parameters(position.state, position.step)
    adams = {name: getattr(position.state, name)._asdict() for name in ADAMS}
    apart = best and best.step != position.step  # else it is part of the state
    content = {
        "format": FORMAT,
        "trial_id": snapshot.trial.id,
        "trial": snapshot.trial.to_dict(),
        "shape": list(shape),
        "conditions": dict(snapshot.conditions),
        "evaluations": [asdict(evaluation) for evaluation in snapshot.evaluations],
        "best": {"step": best.step, "parameters": best.parameters, "buffers": best.buffers} if apart else None,
        "position": {
            **position._asdict(),
            "state": {**position.state._asdict(), **adams},
            "tally": position.tally._asdict(),
        },
        "source": snapshot.source,
        "resumptions": snapshot.resumptions,
    }
    _save(path, content)


def load_state(path: Path, *, device: str = "cpu", peek: bool = False) -> Snapshot:
    """The snapshot that `save_state` kept, on `device`; raises InputError where the file cannot be used.

    Raises Unreadable, which is one, where the next attempt may read it.

    `peek`: the tensors' values are not read, which is quick but does not tell whether they are damaged.
    """
    try:
        content = _load(path, peek=peek, device=device)
        trial = Trial.from_dict(content["trial"])
        if content.get("format") != FORMAT:
            raise ValueError("it was written by another release")
        if content["trial_id"] != trial.id:
            raise ValueError("it is of other semantics")
        gan = build(trial, *content["shape"])
        position = _read_position(gan, content["position"])
        evaluations = tuple(read_evaluation(**evaluation) for evaluation in content["evaluations"])
        steps = _scored_steps(trial, position.step, content["conditions"]["checkpoint_every"])
        if [(e.trial_id, e.discriminator_step) for e in evaluations] != [(trial.id, step) for step in steps]:
            raise ValueError("its evaluations are not those of its trial")
        history = {"source": str(content["source"]), "resumptions": int(content["resumptions"])}
        kept = Snapshot(trial, dict(content["conditions"]), evaluations, position=position, **history)
        return kept._replace(best=_read_best(kept, gan, content["best"]))
    except Exception as error:  # a damaged file can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if _passes(error):
            raise Unreadable(f"{path}: cannot be read now ({reason}); try again.") from error
        raise InputError(f"{path}: not a readable state ({reason}); train the trial again.") from error


def _scored_steps(trial: Trial, step: int, checkpoint_every: int) -> list[int]:
    """The checkpoints of a trial that has come to a step."""
    last = [step] if step == trial.training.discriminator_steps and step % checkpoint_every else []
    return [*range(checkpoint_every, step + 1, checkpoint_every), *last]


def _read_best(kept: Snapshot, gan: Gan, content: Mapping[str, Any] | None) -> Generator | None:
    """The best generator of a snapshot that lacks only this; raises an error where the evaluations name another."""
    if kept.lowest is None:
        return None
    state, step = kept.position.state, kept.position.step
    here = {"step": step, "parameters": state.generator, "buffers": state.generator_buffers}
    best = _read_generator(kept.trial, gan, content or here)
    if best.step != kept.lowest.discriminator_step:
        raise ValueError("its best generator is not that of its evaluations")
    return best


def _read_position(gan: Gan, content: Mapping[str, Any]) -> Position:
    """The position in plain data; raises an error where it is not one of this `gan`."""
    state, tally = _read_state(gan, content["state"]), LossTally(**content["tally"])
    wanted = LossTally.empty("cpu").sums
    if (tally.sums.shape, tally.sums.dtype) != (wanted.shape, wanted.dtype):
        raise ValueError("its losses are not those of a trial")
    tally.check()
    seconds = float(content["training_seconds"]), float(content["scoring_seconds"])
    return Position(int(content["step"]), state, tally, *seconds)


def _read_state(gan: Gan, content: Mapping[str, Any]) -> State:
    """The state in plain data; raises an error where it is not one of this `gan`, tensor by tensor."""
    adams = {name: AdamState(**content[name]) for name in ADAMS}
    state = State(**{**content, **adams})
    found, wanted = pytree.tree_flatten(state), pytree.tree_flatten(empty_state(gan))
    kinds = ([(tensor.shape, tensor.dtype) for tensor in tensors] for tensors, _ in (found, wanted))
    if found[1] != wanted[1] or next(kinds) != next(kinds):
        raise ValueError("its tensors are not those of its trial")
    return state


def _passes(error: Exception) -> bool:
    """Whether it is storage or a full GPU that failed, and not the file that is damaged.

    A damaged file is sought in where it has no bytes, which the system calls an invalid argument.
    """
    if isinstance(error, OSError):
        return not isinstance(error, FileNotFoundError) and error.errno != errno.EINVAL
    return isinstance(error, torch.OutOfMemoryError)


def _load(path: Path, *, peek: bool, device: str = "cpu") -> dict[str, Any]:
    """What `_save` wrote; raises any error where the file is damaged, see `load_state` for `peek`."""
    content: dict[str, Any]
    if peek and not is_remote(path):
        content = torch.load(path, weights_only=True, mmap=True, map_location=device)
        return content
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as archive:
            if damaged := archive.testzip():  # at checksums PyTorch does not look
                raise ValueError(f"wrong checksum of {damaged}")
        file.seek(0)
        content = torch.load(file, weights_only=True, map_location=device)
    return content


def _save(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain data and tensors, from any device, replacing an earlier file at once or not at all."""
    plain = pytree.tree_map_only(Tensor, lambda tensor: tensor.cpu().clone(), content)
    replace(path, partial(_write, plain))


def _write(content: Mapping[str, Any], file: IO[bytes]) -> None:
    """Raises OSError where the system refuses, which PyTorch hides behind an error of its own."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}
