"""Takes secrets out of text before it reaches status, Events or logs (R-C37). Standard library only."""

import re

_HIDDEN = "***"
_KEYS = re.compile(  # those that name themselves, and JSON web tokens
    r"\b(?:sk-|dwk-|dws-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AIza|ya29\.|AKIA)[\w\-]+(?:\.[\w\-]+)*"
    r"|\beyJ[\w\-]{8,}\.[\w\-]+\.[\w\-]*"
)
_BEARER = re.compile(r"\b(bearer|basic)\s+(?:[\w.~+/=\-]{6,}|(?=\S*\d)[\w.~+/=\-]+)", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"""((?:api[_-]?key|access[_-]?key|token|secret|password|passwd|pwd|authorization|credentials?)["']?\s*[=:]\s*)
    (?:"[^"]*"|'[^']*'|[^\s"',;&}\]]+)""",
    re.IGNORECASE | re.VERBOSE,
)


def redact(text: str) -> str:
    """The text with `sk-…`, `ghp_…`, `Bearer …`, `password=…` and their like blotted out."""
    text = _KEYS.sub(_HIDDEN, text)
    text = _BEARER.sub(rf"\1 {_HIDDEN}", text)
    return _ASSIGNED.sub(rf"\1{_HIDDEN}", text)


def one_line(text: str, limit: int = 256) -> str:
    """The text on one line, redacted, cut to `limit` characters, fit to be encoded as UTF-8."""
    line = redact(" ".join(text.encode("utf-8", "replace").decode().split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"
