"""A part of a study, for several drivers that share a results folder and nothing else."""

import re
from typing import NamedTuple

from study.core.errors import InputError


class Shard(NamedTuple):
    """Part `index` of `count`, from 1: the trials whose ids fall to it; of a pack the first trial's id decides."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def has(self, trial_id: str) -> bool:
        """Whether a trial falls to this part."""
        return int(trial_id, 16) % self.count == self.index - 1


def parse_shard(text: str | None) -> Shard | None:
    """The shard in "2/4", None where the study is whole; raises InputError for anything else."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    shard = Shard(*map(int, match.groups())) if match else None
    if shard is None or not 1 <= shard.index <= shard.count:
        raise InputError(f"--shard {text}: must be I/N, such as 1/4 to 4/4 for four drivers.")
    return shard
