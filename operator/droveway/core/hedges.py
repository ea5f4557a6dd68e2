"""What takes a claim back: a quota is spent only if the text itself says so, now, and of a provider (R-L5, R-L6).

Whole lines are left out that report nothing: code, commits, somebody else's service. In the others a claim is looked at in its
clause (a negation, a condition, a mere part of the quota) and in what follows it (`limit_reached: false`).
Standard library only.
"""

import re
from collections.abc import Iterator

from droveway.core.phrases import Wording

_REACH = 160  # how far before a claim is read
_NEXT = 24  # and how far behind it

_ASIDE = str.maketrans("()", "  ")
_CLAUSE = re.compile(r"[.;:!?\n,·∙•|(){}\[\]\"—–<>=]|\b(?:because|due to|since|as|but|after|then|so)\b")
_HEDGE = re.compile(
    r"\b(?:not|never|no|without|if|when|whenever|unless|until|whether|once|before|in case|may|might|could|can|should|will|would"
    r"(?! exceed\b)|to (?:avoid|prevent|reach|hit|exceed)|avoid\w*|prevent\w*|approach\w*|near|nearing|close to|about to|almost"
    r"|nearly|tests?|testing|handl\w+|simulat\w+|document\w*|\w+n't|cases? where)\b"
)
_CONDITION = re.compile(r"(?:\b(?:if|when|whenever|unless)|^\W{0,4}(?:up)?on)\b")
_PART_ONLY = re.compile(r"(?<![0-9.])[0-9]{1,2}(?:\.[0-9]+)? ?%")
_TOLD_OF = re.compile(r"\b(?:docs?|documentation|readme|manual|changelog|example|glossary|user story|faq|scenarios?)\b")
_DENIED = re.compile(r"[\"'`)]{0,2} ?[:=]{1,2} ?[\"'`]?(?:false|null|none|no|0)\b")

_CODE = re.compile(
    r"\s*(?:#\s|//|/\*|<!--|--\s|\$\s|>>>|(?:if|for|while|switch|expect|assert\w*|describe|it|test)\s?\(|(?:assert|case|AssertionError)\b"
    r"|(?:raise|throw|return|def|class|func|fn|const|let|var|import|export|enum|struct)\b(?=[^\n]*[(){};=]))"
    r"|[^\n]{0,80}\b(?:throw|return) new\b|[^\n]{0,40}\bslog\.\w"
)
_COMMIT = re.compile(
    r"\s*(?:[-*+•]\s+)?(?:(?:feat|fix|docs?|chore|refactor|tests?|perf|ci|build|style|revert)(?:\([^)\n]{0,40}\))?!?:\s"
    r"|(?:add|handle|implement|document|refactor|improve|introduce|show|display|remove|rename|bump|fix|classify|describe"
    r"|explain|mention|simulate|mock|todo)(?:s|es|d|ed)?\b"
    r"|(?:(?:update|wrap|return|ensure|cover|detect|surface|expose|parse|assert)s?|verif(?:y|ies))\b(?! (?:code|your)\b))",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"\bdocker|(?-i:toomanyrequests)|\bgraphql\b|\bgithub api\b|api\.github\.com|\bsetitem\b|localstorage|indexeddb|\bcgroup\b"
    r"|is forbidden: exceeded quota|\bnpm (?:err|error|warn)\b|\bpip\._|\bpip3? install",
    re.IGNORECASE,
)


def reported(text: str) -> str:
    """The text with every line left empty that reports no failure of a provider."""
    return "\n".join("" if _is_no_report(line) else line for line in text.split("\n"))


def claims(words: str, wording: Wording) -> Iterator[re.Match[str]]:
    """Where something is said and nothing takes it back: no negation, condition or mere part of a quota (R-L5)."""
    if not any(need in words for need in wording.needs):
        return
    for pattern in wording.patterns:
        for found in pattern.finditer(words):
            if not _is_taken_back(words, found):
                yield found


def _is_no_report(line: str) -> bool:
    return bool(_CODE.match(line) or _COMMIT.match(line) or _ELSEWHERE.search(line))


def _is_taken_back(words: str, found: re.Match[str]) -> bool:
    before = words[max(0, found.start() - _REACH) : found.start()]
    clause = _CLAUSE.split(before)[-1] + found[0]
    return bool(
        _HEDGE.search(_without_own_words(clause, found[0]))
        or _CONDITION.search(_CLAUSE.split(before.translate(_ASIDE))[-1])  # holds for what it says aside, too
        or _PART_ONLY.search(clause)
        or _TOLD_OF.search(before.rpartition("\n")[2])
        or _DENIED.match(words, found.end(), found.end() + _NEXT)
        or (words.endswith("`", 0, found.start()) and words.startswith("`", found.end()))  # named, not said
    )


def _without_own_words(clause: str, claim: str) -> str:
    """The clause without the words that are part of the claim by themselves: `no credits`, `account is not active`."""
    return clause.removesuffix(claim) + re.sub(r"^(?:no|not)\b|\bnot active\b", "", claim)
