"""Whether a trial that is saved and resumed on this machine goes on as if it had never stopped."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from study.training.lockstep import Position
from study.training.selfcheck.check import Check, Finding
from study.training.selfcheck.pack import CYCLES, Pack
from study.training.selfcheck.step import same_bits, title
from study.worker.checkpoint import load_state, save_state
from study.worker.snapshot import Snapshot


def resume_check(pack: Pack) -> Check:
    """All trials of the pack are saved to files after the first cycle, and continue in new slots."""
    return Check(f"{title(pack.case)}: same bits if resumed", partial(resumes, pack))


def resumes(pack: Pack) -> Finding:
    """See `resume_check`."""
    between = pack.run(pack.lockstep(pack.starts), range(1))
    with TemporaryDirectory() as folder:
        loaded = [_saved_and_loaded(pack, slot, position, Path(folder)) for slot, position in enumerate(between)]
    return same_bits(pack, pack.run(pack.lockstep(loaded), range(1, CYCLES)))


def _saved_and_loaded(pack: Pack, slot: int, position: Position, folder: Path) -> Position:
    path, case = folder / f"{slot}.pt", pack.case
    conditions = {"checkpoint_every": CYCLES * case.n_dis}
    save_state(path, Snapshot(pack.trials[slot], conditions, position=position), (case.channels, case.resolution))
    return load_state(path, device=case.device).reached
