"""From what a command line printed to JSON objects and checked values (R-P1..R-P6, R-P12)."""

import math
import re
from collections.abc import Iterable, Iterator
from json import JSONDecoder
from json.scanner import make_scanner
from typing import Any

LINE_LIMIT = 1024 * 1024
"""Bytes of a line that are read; the rest is cut off (R-P2)."""

_SURELY_SHORT = LINE_LIMIT // 4  # so many characters have no more bytes than that
_WHOLE_LIMIT = 2**53  # a token count beyond what JSON carries exactly is no token count
_BLANKS = re.compile(r"\s*")
_NUMBER = re.compile(r"\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)
_STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
_CRI = re.compile(rf"{_STAMP} (stdout|stderr) ([FP])(?::\S*)?(?: (.*))?", re.DOTALL)
_PREFIX = re.compile(rf"(?:\s+|{_STAMP}\s|data:)+")
_ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links
    r"|[ -/]+[0-~]|[0-Z\\^-~])"  # character sets, modes
)
_decode = make_scanner(JSONDecoder(strict=False))  # type: ignore[arg-type]  # what it reads of it, a decoder has


class Lines:
    """Cleans lines one by one, joins the parts of a container runtime's long lines, and counts what was wrong.

    Attributes:
        read_total: lines that held anything.
        unparseable_total: lines that held no JSON, or something after it.
        cut_total: lines longer than `LINE_LIMIT`.
        mistyped_total: numbers that were none, and counts that were no object.
    """

    def __init__(self) -> None:
        self.read_total = 0
        self.unparseable_total = 0
        self.cut_total = 0
        self.mistyped_total = 0
        self._parts: dict[str, str] = {}

    def objects(self, line: str) -> Iterable[tuple[dict[str, Any], str]]:
        """The objects of a line, mostly one, each with its own text (perhaps with a line end).

        Other JSON values are ignored (R-P1, R-P4).
        """
        if not line.startswith("{") or len(line) > _SURELY_SHORT or "\x1b" in line:
            line = self.clean(line)
            if not line:
                return ()
        self.read_total += 1
        try:
            value, end = _decode(line, 0)
        except (StopIteration, ValueError, RecursionError):
            self.unparseable_total += 1
            return ()
        if end < len(line) and not line[end:].isspace():
            return self._merged(line)
        return ((value, line),) if isinstance(value, dict) else ()

    def _merged(self, line: str) -> Iterator[tuple[dict[str, Any], str]]:
        """One value after the other, until something else follows."""
        begin, end = 0, len(line)
        while begin < end:
            try:
                value, stop = _decode(line, begin)
            except (StopIteration, ValueError, RecursionError):
                self.unparseable_total += 1
                return
            if isinstance(value, dict):
                yield value, line[begin:stop]
            begin = _BLANKS.match(line, stop).end()  # type: ignore[union-attr]  # it matches nothing, too

    def clean(self, line: str) -> str:
        """The text of a whole line without prefix, colours and line end; "" while parts of it are missing."""
        line = line.rstrip("\r\n").lstrip("\ufeff")
        if cri := _CRI.fullmatch(line):
            stream, more, part = cri[1], cri[2] == "P", cri[3] or ""
            line = (self._parts.pop(stream, "") + part)[: LINE_LIMIT + 1]
            if more:
                self._parts[stream] = line
                return ""
        if len(line) > _SURELY_SHORT:
            line = self._cut(line)
        if "\x1b" in line:
            line = _ANSI.sub("", line)
        line = line.lstrip("\ufeff")
        if prefix := _PREFIX.match(line):
            line = line[prefix.end() :]
        return line.strip()

    def rest(self) -> str:
        """The last line, if its final part never came."""
        return self._parts.pop("stdout", "")

    def _cut(self, line: str) -> str:
        encoded = line.encode("utf-8", "replace")
        if len(encoded) <= LINE_LIMIT:
            return line
        self.cut_total += 1
        return encoded[:LINE_LIMIT].decode("utf-8", "ignore")

    def wholes(self, fields: dict[str, Any], names: Iterable[str]) -> list[int]:
        """Counts: whole, not negative. Numeric strings and whole floats are accepted, else 0 and counted (R-P5)."""
        return [
            value if type(value := fields.get(name)) is int and 0 <= value < _WHOLE_LIMIT else self._whole(fields, name)
            for name in names
        ]

    def _whole(self, fields: dict[str, Any], name: str) -> int:
        number = self.number(fields, name)
        if number is None:
            return 0
        if number != int(number) or number >= _WHOLE_LIMIT:
            self.mistyped_total += 1
            return 0
        return int(number)

    def number(self, fields: dict[str, Any], name: str) -> float | None:
        """A finite number ≥ 0, also from a string; None when it is missing or none (counted)."""
        value = fields.get(name)
        if value is None:
            return None
        if type(value) is int and 0 <= value < _WHOLE_LIMIT:
            return float(value)
        try:
            number = _as_float(value)
        except OverflowError:
            number = math.nan
        if math.isfinite(number) and number >= 0:
            return number
        self.mistyped_total += 1
        return None

    def counts(self, value: Any, *path: str) -> dict[str, Any]:
        """The object at a path that should hold counts; {} when it is missing or none (counted)."""
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        self.mistyped_total += value is not None and not isinstance(value, dict)
        return value if isinstance(value, dict) else {}


def _as_float(value: object) -> float:
    if isinstance(value, str):
        return float(value) if len(value) <= 32 and _NUMBER.fullmatch(value) else math.nan
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def fields(value: Any, *path: str) -> dict[str, Any]:
    """The object at a path, {} when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def text(value: Any, *path: str) -> str:
    """The string at a path, fit to be encoded as UTF-8 (R-P3); "" when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def items(value: Any, *path: str) -> list[Any]:
    """The list at a path, [] when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, list) else []
