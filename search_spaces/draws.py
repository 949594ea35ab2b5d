"""Random draws that are equal on all machines and independent of each other: each is a hash of its purpose."""

import hashlib
import math
from dataclasses import dataclass

from study.core.errors import InputError

DIGITS = 6
"""Significant digits of a draw: the last bits of a power differ between machines, and would change trial ids."""


@dataclass(frozen=True)
class Range:
    """The range from `low` to `high`, uniform in the logarithm if `log`. Raises InputError for invalid ends."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InputError(f"range from {self.low:g} to {self.high:g}: low must be below high, and both finite.")
        if self.log and self.low <= 0:
            raise InputError(f"range from {self.low:g} to {self.high:g}: a logarithmic range must start above 0.")

    def at(self, share: float) -> float:
        """The value at a relative position `share` in [0, 1), rounded to DIGITS significant digits."""
        value = self.low * (self.high / self.low) ** share if self.log else self.low + share * (self.high - self.low)
        return float(f"{value:.{DIGITS}g}")


def share(seed: int, name: str, index: int) -> float:
    """Draw number `index` of the random stream `name`: uniform in [0, 1), 53 bits of a SHA-256 hash."""
    digest = hashlib.sha256(f"{seed}/{name}/{index}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
