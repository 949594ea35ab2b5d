"""The cases that are measured: a training step of one method, with given sizes and precision, on one device."""

import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from study.core.errors import InputError, look_up
from study.core.trial import BFLOAT16, FLOAT32, PRECISIONS, Hyperparameters, Training, Trial
from study.gan.methods.menu import parse
from study.gan.model import Gan, build
from study.training.bench.plain import check_supported
from study.training.device import check_precision, instructions, precisions

SPECTRAL, BOTH = "spectral_norm", "spectral_norm+gradient_penalty"
CPU, CUDA = "cpu", "cuda"
CIFAR_SIZED = ("resnet_cifar", "sndcgan", "dcgan")
"""The architectures that are measured at 32 px."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A row to be measured.

    Attributes:
        architecture, method: names; the method as in `--methods`.
        resolution, channels: of the images.
        width, batch_size, latent_dim, n_dis, precision: as in a trial.
        pack: number of trials in one program.
        device: cpu, cuda or cuda:N.
        threads: number of CPU threads.
    """

    architecture: str = "resnet_cifar"
    method: str = SPECTRAL
    resolution: int = 32
    channels: int = 3
    width: int = 64
    batch_size: int = 64
    latent_dim: int = 128
    n_dis: int = 5
    precision: str = FLOAT32
    pack: int = 1
    device: str = CPU
    threads: int = 1

    @cached_property
    def trial(self) -> Trial:
        """A trial of one cycle; raises InputError for values that a trial cannot have."""
        method = parse(self.method, self.architecture, "--method")
        return Trial(
            dataset="noise",
            method=method,
            hyperparameters=Hyperparameters(
                learning_rate=2e-4,
                beta1=0.5,
                beta2=0.999,
                n_dis=self.n_dis,
                penalty_weight=1.0 if method.penalty else None,
            ),
            training=Training(
                discriminator_steps=self.n_dis,
                width=self.width,
                batch_size=self.batch_size,
                latent_dim=self.latent_dim,
                precision=self.precision,
            ),
        )

    @property
    def gan(self) -> Gan:
        """Its networks and method; raises InputError if they do not fit together."""
        return build(self.trial, self.channels, self.resolution)

    @property
    def images_per_cycle(self) -> int:
        """Number of real images in n_dis updates of D, summed over the trials of a pack."""
        return self.n_dis * self.batch_size * self.pack

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith(CUDA)

    @property
    def name(self) -> str:
        """A description in one line."""
        pack = f", {self.pack} trials" if self.pack > 1 else ""
        size = f"{self.resolution} px, width {self.width}, batch {self.batch_size}, n_dis {self.n_dis}"
        return f"{self.architecture} {self.method}, {size}, {self.precision}{pack}, {self.device}"

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, with the model of the device, its instructions, and the version of PyTorch."""
        fields = {("batch" if name == "batch_size" else name): value for name, value in asdict(self).items()}
        return {**fields, **environment(self.device)}

    def check(self) -> None:
        """Raises InputError if the case is not valid or the device cannot run it."""
        check_device(self.device)
        for field, number in (("--threads", self.threads), ("--pack", self.pack)):
            if number < 1:
                raise InputError(f"{field} {number}: must be 1 or more.")
        look_up("--precision", self.precision, PRECISIONS)
        check_precision(self.precision, self.device)
        check_supported(self.trial.method)
        _ = self.gan


CASES: Sequence[Case] = (
    *(Case(architecture=name, method=method) for name in CIFAR_SIZED for method in (SPECTRAL, BOTH)),
    *(Case(architecture="resnet19", resolution=128, batch_size=4, method=method) for method in (SPECTRAL, BOTH)),
    Case(precision=BFLOAT16),
    Case(architecture="sndcgan", device=CUDA),
    Case(architecture="sndcgan", method=BOTH, device=CUDA),
    Case(device=CUDA),
    Case(method=BOTH, device=CUDA),
    Case(architecture="resnet19", resolution=128, precision=BFLOAT16, device=CUDA),
    Case(architecture="sndcgan", pack=18, device=CUDA),
)
"""The cases of `study bench --all`: on a CPU every architecture; the first is the default."""


PACKS: Sequence[Case] = (
    Case(architecture="sndcgan", resolution=8, channels=1, width=8),
    Case(architecture="resnet_cifar", resolution=8, channels=1, width=8),
    Case(architecture="sndcgan", resolution=8, channels=1, width=16),
    Case(architecture="sndcgan", device=CUDA),
    Case(architecture="resnet_cifar", device=CUDA),
)
"""The cases of `study bench --pack auto`: the sizes of the built-in images and, on a GPU, 32 px."""


def check_device(device: str) -> None:
    """Raises InputError if the device does not exist."""
    known = re.fullmatch(r"cpu|cuda(?::(?P<number>\d+))?", device)
    if not known:
        raise InputError(f"--device {device}: must be cpu, cuda or cuda:N.")
    if device != CPU and int(known["number"] or 0) >= (count := torch.cuda.device_count()):
        available = f"this machine has {count} GPUs" if count else "PyTorch finds no GPU on this machine"
        raise InputError(f"--device {device}: {available}; choose another device, such as cpu.")


def possible(cases: Sequence[Case]) -> list[Case]:
    """The cases whose device exists and supports their precision."""
    available = [case for case in cases if not case.on_gpu or torch.cuda.is_available()]
    return [case for case in available if case.precision in precisions(case.device)]


def environment(device: str) -> dict[str, Any]:
    """What a speed depends on: the model of the device, a CPU's instructions, and the version of PyTorch."""
    known = [] if device.startswith(CUDA) else instructions()
    return {"device_name": device_name(device), "instructions": known, "torch": torch.__version__}


def device_name(device: str) -> str:
    """The model of a GPU or of the CPU."""
    if device != "cpu":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
