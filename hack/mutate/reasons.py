"""Why some mutants may live: reasons.toml.

Each reason has `why`, and `survivors`: `module.function: old → new`, where `*` stands for anything.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from hack.mutate.results import Result


@dataclass(frozen=True, slots=True)
class Reason:
    """What its survivors have in common."""

    why: str
    survivors: tuple[str, ...]

    def covers(self, result: Result) -> bool:
        return any(_matches(entry, result) for entry in self.survivors)


def read(file: Path) -> list[Reason]:
    return [Reason(r["why"], tuple(r["survivors"])) for r in tomllib.loads(file.read_text())["reason"]]


def reason_of(result: Result, reasons: list[Reason]) -> Reason | None:
    """The first that covers it."""
    return next((r for r in reasons if r.covers(result)), None)


def idle(reasons: list[Reason], alive: list[Result]) -> list[str]:
    """The entries that cover nothing."""
    return [entry for r in reasons for entry in r.survivors if not any(_matches(entry, result) for result in alive)]


def _matches(entry: str, result: Result) -> bool:
    pattern = ".*".join(re.escape(part) for part in entry.split("*"))
    return re.fullmatch(pattern, f"{result.function}: {result.change}") is not None
