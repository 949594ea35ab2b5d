"""Random draws that no machine and no other hyperparameter can change: each is a hash of what it is for."""

import hashlib
import math
from dataclasses import dataclass

from study.core.errors import InputError

DIGITS = 6
"""Significant digits of a draw: machines differ in the last bit of a power, and a trial's id hangs on all of them."""


@dataclass(frozen=True)
class Range:
    """From `low` to `high`; `log`: uniform in the logarithm. Raises InputError for ends that make no range."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"range from {self.low:g} to {self.high:g}: low must be below high, and both finite.")
        if self.log and self.low <= 0:
            raise InputError(f"range from {self.low:g} to {self.high:g}: a logarithmic range must start above 0.")

    def at(self, share: float) -> float:
        """The value so far along, for a share in [0, 1)."""
        value = self.low * (self.high / self.low) ** share if self.log else self.low + share * (self.high - self.low)
        return float(f"{value:.{DIGITS}g}")


def share(seed: int, name: str, index: int) -> float:
    """The draw number `index` of the stream called `name`: uniform in [0, 1), 53 bits of a SHA-256."""
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
