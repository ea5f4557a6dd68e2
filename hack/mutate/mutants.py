"""Ways to break a module, one at a time. mutmut thinks them up, and writes one module that holds them all: see `mutate`."""

import io
import textwrap
import tokenize
from dataclasses import dataclass
from enum import StrEnum

from mutmut.mutation.data import LineSpan
from mutmut.mutation.file_mutation import mutate_file_contents


class Outcome(StrEnum):
    """What became of a mutant."""

    NOTICED = "noticed"  # a test failed
    STOPPED = "stopped"  # it ran into its limit of CPU time: an endless loop
    ALIVE = "alive"  # every test passed
    UNREACHED = "unreached"  # no test runs the function


@dataclass(slots=True)
class Mutant:
    """One way to break a function.

    Attributes:
        name: of the broken copy, `module.mangled__mutmut_number`.
        function: `module.function` or `module.Class.method`, without `droveway.core.`.
        line: the code that is changed, on one line.
        change: what differs, `old → new`.
        outcome: None: not tried yet.
    """

    name: str
    function: str
    line: str
    change: str
    outcome: Outcome | None = None

    @property
    def module(self) -> str:
        return self.function.partition(".")[0]

    @property
    def reached_by(self) -> str:
        """How mutmut calls the function when it runs."""
        return self.name.partition("__mutmut_")[0]

    @property
    def noticed(self) -> bool:
        return self.outcome in (Outcome.NOTICED, Outcome.STOPPED)


def mutate(module: str, source: str) -> tuple[str, list[Mutant]]:
    """The module with all broken copies of its functions, and the list of these.

    A function calls the copy that `mutmut.mutation.trampoline.set_mutant_under_test` names, else its original.
    """
    made = mutate_file_contents(f"{module}.py", source)
    lines, spans = made.code.splitlines(), made.line_span_by_function_name
    found = []
    for name in made.mutant_names:
        mangled = name.partition("__mutmut_")[0]
        function = mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        old, new = (_source(lines, spans[which], which) for which in (f"{mangled}__mutmut_orig", name))
        found.append(Mutant(f"droveway.core.{module}.{name}", f"{module}.{function}", *difference(old, new)))
    return made.code, found


def _source(lines: list[str], span: LineSpan, name: str) -> str:
    return textwrap.dedent("\n".join(lines[span.start - 1 : span.end])).replace(name, "_", 1)


def difference(old: str, new: str) -> tuple[str, str]:
    """The line of the old code that the new code changes, and what differs."""
    before, after = _tokens(old), _tokens(new)
    shorter = min(len(before), len(after))
    head = next((n for n in range(shorter) if before[n].string != after[n].string), shorter)
    tail = next((n for n in range(shorter - head) if before[-1 - n].string != after[-1 - n].string), shorter - head)
    last = max(head, len(before) - tail - 1)
    line = " ".join(text.strip() for text in old.splitlines()[before[head].start[0] - 1 : before[last].end[0]])
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
