"""A part of a study, for several drivers that share a results folder."""

import re
from dataclasses import dataclass
from typing import final

from study.core.errors import InputError


@final
@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, counted from 1. The id of a trial, or of a pack's first trial, decides its shard."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def has(self, trial_id: str) -> bool:
        """Whether a trial with this id (hexadecimal) belongs to this shard."""
        return int(trial_id, 16) % self.count == self.index - 1


def parse_shard(text: str | None) -> Shard | None:
    """The shard in a text such as "2/4"; None for None. Raises InputError for any other text."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    shard = Shard(*map(int, match.groups())) if match else None
    if shard is None or not 1 <= shard.index <= shard.count:
        raise InputError(f"--shard {text}: must be I/N, such as 1/4 to 4/4 for four drivers.")
    return shard
