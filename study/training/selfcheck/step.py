"""The training step as the device runs it: beside the plain step, beside itself, and what refused to run it."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch.utils import _pytree as pytree

from study.core.text import plural
from study.core.trial import FLOAT32
from study.gan.program import EAGER
from study.training.bench.cases import BOTH, CPU, Case
from study.training.device import precisions
from study.training.lockstep import Position
from study.training.selfcheck.check import Check, Failed, Finding
from study.training.selfcheck.pack import CYCLES, Pack

SIZES = {"sndcgan": (16, 8), "dcgan": (16, 8), "resnet_cifar": (8, 8), "resnet19": (64, 8)}
"""Resolution, and width and batch size, by architecture: the smallest that are of use."""
PACKS = 1, 3


def cases(device: str, *, short: bool) -> list[Case]:
    """A small case of each architecture, precision and number of trials; the most usual ones first.

    With `short`, only the first architecture in float32.
    """
    return [
        Case(
            architecture=architecture,
            method=BOTH,
            resolution=resolution,
            width=width,
            batch_size=width,
            latent_dim=16,
            n_dis=2,
            precision=precision,
            pack=pack,
            device=device,
        )
        for precision in ([FLOAT32] if short else precisions(device))
        for pack in PACKS
        for architecture, (resolution, width) in list(SIZES.items())[: 1 if short else None]
    ]


def title(case: Case) -> str:
    """The case in a few words."""
    return f"{case.architecture} {case.precision}, {case.pack} {plural(case.pack, 'trial')}"


def step_checks(pack: Pack) -> Iterator[Check]:
    """The checks of a case."""
    name = title(pack.case)
    yield Check(f"{name}: equals the plain step", partial(equals_plain, pack))
    yield Check(f"{name}: runs as intended", partial(runs_as_intended, pack))
    yield Check(f"{name}: same bits again", partial(repeats, pack))


def equals_plain(pack: Pack) -> Finding:
    """The program of the device and the plain step lead from equal starts, by equal inputs, to equal ends."""
    worst = pack.worst(pack.trained[0], pack.plain)
    if not worst.tolerated:
        raise Failed(str(worst))
    return Finding(str(worst), worst._asdict())


def runs_as_intended(pack: Pack) -> Finding:
    """Neither the compiler nor the recording of a CUDA graph was refused."""
    _, lockstep = pack.trained
    if lockstep.refused:
        raise Failed(f"refused: {lockstep.refused}")
    how = "the trace runs" if lockstep.backend == EAGER else f"compiled by {lockstep.backend}, recorded as a CUDA graph"
    return Finding(how, {"compiled": lockstep.backend})


def repeats(pack: Pack) -> Finding:
    """The same trials, trained once more, end in the same bits."""
    return same_bits(pack, pack.run(pack.lockstep(pack.starts), range(CYCLES)))


def same_bits(pack: Pack, got: Sequence[Position]) -> Finding:
    """These ends of the trials are those of training them at one go.

    A GPU promises equal bits only with deterministic algorithms; without them, what differs by rounding is a note.
    """
    wanted, _ = pack.trained
    off = count_unequal(got, wanted)
    if not off:
        return Finding("equal to the last bit", {"unequal_tensors": 0})
    worst = pack.worst(got, wanted)
    if pack.case.device == CPU or torch.are_deterministic_algorithms_enabled() or not worst.tolerated:
        raise Failed(f"{off} tensors differ; {worst}")
    note = f"{off} tensors differ, as they may without --deterministic; {worst}"
    return Finding(note, {"unequal_tensors": off, **worst._asdict()})


def count_unequal(got: Sequence[Position], wanted: Sequence[Position]) -> int:
    """The number of tensors of the trials that are not equal to the last bit."""
    pairs = [zip(*map(tensors, each), strict=True) for each in zip(got, wanted, strict=True)]
    return sum(not torch.equal(one, other) for pair in pairs for one, other in pair)


def tensors(position: Position) -> list[torch.Tensor]:
    """All tensors of a position, on the CPU."""
    leaves = pytree.tree_leaves((position.state, position.tally))
    return [leaf.cpu() for leaf in leaves if isinstance(leaf, torch.Tensor)]
