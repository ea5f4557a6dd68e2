"""What mutmut found out about each mutant."""

import io
import json
import textwrap
import tokenize
from dataclasses import dataclass
from pathlib import Path

_FAILED = (1, 3)  # pytest's exit codes: a test failed, or pytest itself
_TIMED_OUT = (-24, 24, 36, 152, 255)
_UNREACHED = (5, 33)  # no test reaches the function


@dataclass(frozen=True, slots=True)
class Result:
    """One mutant.

    Attributes:
        name: mutmut's.
        function: `module.function` or `module.Class.method`.
        exit_code: of the tests; None: not tried yet.
        line: the code that was changed, on one line. Empty, like `change`, if a test noticed it.
        change: what differs, `old → new`.
    """

    name: str
    function: str
    exit_code: int | None
    line: str = ""
    change: str = ""

    @property
    def module(self) -> str:
        return self.function.partition(".")[0]

    @property
    def timed_out(self) -> bool:
        return self.exit_code in _TIMED_OUT

    @property
    def noticed(self) -> bool:
        return self.exit_code in _FAILED or self.timed_out

    @property
    def reached(self) -> bool:
        return self.exit_code not in _UNREACHED


def results_of(mutated: Path) -> list[Result]:
    """The mutants of one module, from the file that mutmut made of it and what it keeps beside it."""
    codes = json.loads(mutated.with_suffix(".py.meta").read_text())["exit_code_by_key"]
    spans = json.loads(mutated.with_suffix(".py.spans").read_text())["spans"]
    lines = mutated.read_text().splitlines()
    found = []
    for name, code in codes.items():
        mangled, _, number = name.rpartition(".")[2].partition("__mutmut_")
        function = mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        result = Result(name, f"{mutated.stem}.{function}", code)
        if not result.noticed:
            versions = (_source(lines, spans, mangled, which) for which in ("orig", number))
            result = Result(name, result.function, code, *difference(*versions))
        found.append(result)
    return found


def _source(lines: list[str], spans: dict[str, tuple[int, int]], mangled: str, which: str) -> str:
    name = f"{mangled}__mutmut_{which}"
    first, last = spans[name]
    return textwrap.dedent("\n".join(lines[first - 1 : last])).replace(name, "_", 1)


def difference(old: str, new: str) -> tuple[str, str]:
    """The line of the old code that the new code changes, and what differs."""
    before, after = _tokens(old), _tokens(new)
    shorter = min(len(before), len(after))
    head = next((n for n in range(shorter) if before[n].string != after[n].string), shorter)
    tail = next((n for n in range(shorter - head) if before[-1 - n].string != after[-1 - n].string), shorter - head)
    lines = old.splitlines()
    last = max(head, len(before) - tail - 1)
    line = " ".join(text.strip() for text in lines[before[head].start[0] - 1 : before[last].end[0]])
    return line, f"{_text(old, before[head : len(before) - tail])} → {_text(new, after[head : len(after) - tail])}"


def _tokens(source: str) -> list[tokenize.TokenInfo]:
    return [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.string.strip()]


def _text(source: str, tokens: list[tokenize.TokenInfo]) -> str:
    """The tokens as they are written, on one line."""
    if not tokens:
        return ""
    (top, left), (bottom, right) = tokens[0].start, tokens[-1].end
    lines = source.splitlines()[top - 1 : bottom]
    lines[-1] = lines[-1][:right]
    lines[0] = lines[0][left:]
    return " ".join(line.strip() for line in lines)
