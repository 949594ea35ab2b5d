"""How a process computes."""

import os

import torch


def prepare_process(*, deterministic: bool) -> None:
    """Once before the trials of a process.

    On a CPU it has one thread: rounding depends on their number, and a core belongs to one trial. On a GPU that thread
    feeds the device, and another one reads batches where the images do not lie there.

    `deterministic`: a GPU takes the same algorithms each time, whose results are the same to the bit on one kind of
    GPU.
    What they cost in speed has not been measured. On a CPU trials are so anyway.
    """
    torch.set_num_threads(1)
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when the first product is computed on a GPU
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(deterministic)
