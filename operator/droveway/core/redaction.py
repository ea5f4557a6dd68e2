"""Keeps secrets out of everything that people or objects will hold (R-C37). Standard library only."""

import re

_MASK = "***"
_LONGEST = 4096  # of a text of which one line is wanted

_ALONE = (  # secrets that show by themselves what they are
    (re.compile(r"(?P<name>://[^\s/:@\"']{0,64}:)[^\s/@\"']{1,256}(?=@)"), rf"\g<name>{_MASK}"),
    (
        re.compile(r"(?P<name>\b(?:bearer|authorization\W{1,4}basic)\s+)[^\s\"'\\,;})\]]+", re.IGNORECASE),
        rf"\g<name>{_MASK}",
    ),
    (re.compile(r"\b(?:sk|pk|rk|xai|gsk|pplx|nvapi|dwk|dws|xox[abprs])-[\w*.-]*[\w*-]"), _MASK),
    (re.compile(r"\b(?:(?:gh[opusr]|github_pat|glpat)[_-]|gsk_|sk_(?:live|test)_)\w[\w-]*"), _MASK),
    (re.compile(r"\b(?:hf|npm)_[A-Za-z0-9]{16,}"), _MASK),
    (re.compile(r"\b(?:AIza[\w-]{20,}|ya29\.[\w-]+|A[KS]IA[A-Z0-9]{12,}|eyJ[\w-]{8,}(?:\.[\w-]+){1,2})"), _MASK),
    (re.compile(r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}-----)?"), _MASK),
)

_HINT = re.compile(r"key|secret|pass|token|cookie", re.IGNORECASE)
_NAME = (
    r"(?P<name>(?:api[_-]?key|secret(?:[_-]?(?:access[_-]?)?key)?|passw(?:or)?d|passphrase|(?:(?<![a-z])|access|refresh|auth|id)token"
    r"|access[_-]?key|private[_-]?key|(?<=[?&])key|set-cookie|cookie)\\*[\"']?\s*[:=]\s*)"
)
_NAMED = (  # those of which only the name tells it
    (re.compile(rf"{_NAME}(?P<quote>\\+[\"'])[^\"'\\\n]*", re.IGNORECASE), rf"\g<name>\g<quote>{_MASK}"),
    (re.compile(rf"{_NAME}\"(?:[^\"\\\n]|\\.)*", re.IGNORECASE), rf'\g<name>"{_MASK}'),
    (re.compile(rf"{_NAME}'[^'\n]*", re.IGNORECASE), rf"\g<name>'{_MASK}"),
    (re.compile(rf"{_NAME}[^\s\"'\\,;&}})\]]+", re.IGNORECASE), rf"\g<name>{_MASK}"),
)


def redact(text: str) -> str:
    """The text with keys, tokens and passwords masked; everything else as it was."""
    for pattern, mask in (*_ALONE, *(_NAMED if _HINT.search(text) else ())):
        text = pattern.sub(mask, text)
    return text


def one_line(text: str, limit: int = 256) -> str:
    """The text redacted, on one line, and cut to `limit` characters."""
    line = " ".join(redact(text[:_LONGEST]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
