"""Why some mutants may live: reasons.toml.

Each reason has `why`, and `survivors`: `module.function: old → new`, where `*` stands for anything.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from hack.mutate.mutants import Mutant


@dataclass(frozen=True, slots=True)
class Reason:
    """What its survivors have in common."""

    why: str
    survivors: tuple[str, ...]

    def covers(self, mutant: Mutant) -> bool:
        return any(_matches(entry, mutant) for entry in self.survivors)


def read(file: Path) -> list[Reason]:
    return [Reason(r["why"], tuple(r["survivors"])) for r in tomllib.loads(file.read_text())["reason"]]


def reason_of(mutant: Mutant, reasons: list[Reason]) -> Reason | None:
    """The first that covers it."""
    return next((r for r in reasons if r.covers(mutant)), None)


def idle(reasons: list[Reason], alive: list[Mutant]) -> list[str]:
    """The entries that cover nothing."""
    return [entry for r in reasons for entry in r.survivors if not any(_matches(entry, mutant) for mutant in alive)]


def _matches(entry: str, mutant: Mutant) -> bool:
    pattern = ".*".join(re.escape(part) for part in entry.split("*"))
    return re.fullmatch(pattern, f"{mutant.function}: {mutant.change}") is not None
