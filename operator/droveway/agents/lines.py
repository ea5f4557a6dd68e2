"""From what a command line printed to JSON objects and checked values (R-P1..R-P6, R-P12)."""

import json
import math
import re
from typing import Any

LINE_LIMIT = 1024 * 1024
"""Characters of a line that are read; the rest is cut off (R-P2)."""

_WHOLE_LIMIT = 2**53  # a token count beyond what JSON carries exactly is no token count
_STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"
_CRI = re.compile(rf"{_STAMP} (?:stdout|stderr) ([FP])(?::\S*)?(?: (.*))?", re.DOTALL)
_PREFIX = re.compile(rf"(?:\s+|{_STAMP}\s|data:)+")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


class Lines:
    """Cleans lines one by one, joins the parts of a container runtime's long lines, and counts what was wrong.

    Attributes:
        unparseable_total: lines that held no JSON at all.
        cut_total: lines longer than `LINE_LIMIT`.
        mistyped_total: numbers that were none.
    """

    def __init__(self) -> None:
        self.unparseable_total = 0
        self.cut_total = 0
        self.mistyped_total = 0
        self._part = ""

    def clean(self, line: str) -> str:
        """The text of a whole line without prefix, colours and line end; "" while parts of it are missing."""
        if not line.isascii():
            line = line.encode("utf-8", "replace").decode()
        line = line.rstrip("\r\n").lstrip("\ufeff")
        if cri := _CRI.fullmatch(line):
            line, more = cri[2] or "", cri[1] == "P"
            self._part = (self._part + line)[: LINE_LIMIT + 1]
            if more:
                return ""
            line, self._part = self._part, ""
        if len(line) > LINE_LIMIT:
            line = line[:LINE_LIMIT]
            self.cut_total += 1
        line = _ANSI.sub("", line).lstrip("\ufeff")
        if prefix := _PREFIX.match(line):
            line = line[prefix.end() :]
        return line.strip()

    def rest(self) -> str:
        """The last line, if its final part never came."""
        rest, self._part = self._part, ""
        return self.clean(rest)

    def parse(self, text: str) -> dict[str, Any] | None:
        """The object of a cleaned line; None when it is text or another JSON value (R-P1, R-P4)."""
        try:
            value = json.loads(text, strict=False)
        except (ValueError, RecursionError):
            self.unparseable_total += 1
            return None
        return value if isinstance(value, dict) else None

    def whole(self, fields: dict[str, Any], name: str) -> int:
        """A count: whole, not negative. Numeric strings and whole floats are accepted, else 0 and counted (R-P5)."""
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
        try:
            number = math.nan if isinstance(value, bool) or not isinstance(value, int | float | str) else float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number) and number >= 0:
            return number
        self.mistyped_total += 1
        return None


def fields(value: Any, *path: str) -> dict[str, Any]:
    """The object at a path, {} when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def text(value: Any, *path: str) -> str:
    """The string at a path, fit to be encoded as UTF-8 (R-P3); "" when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def items(value: Any, *path: str) -> list[Any]:
    """The list at a path, [] when there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, list) else []
