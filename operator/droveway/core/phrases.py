"""The words in which providers and CLIs say that a quota is spent (R-L4..R-L6, R-C19). Standard library only.

Phrases are looked for in *plain words*: lower case, identifiers taken apart (`rate_limit_error`, `RateLimitError` and
`rate-limit error` are the same words). Statuses such as 429 are looked for in the text as it was printed.
"""

import re
from collections.abc import Iterator

_GAP = r"(?:[ \n]+[\w'$/%]+(?:[.,][0-9]+)*)"  # one word between two that belong together; never across a clause
_SPENT = (
    r"(?:reached|hit|exceeded|exceeds|exhausted|depleted|surpassed|used up|maxed out|consumed|ran out|run out|errors?|exception)"
    r"\b(?! (?:handl|class|type|test|code path))"
)
_SPENDS = (
    r"\b(?:reached|hit|hitting|exceeded|exceeds?|exceeding|exhausted|depleted|surpassed|used up|used (?:all|100%)(?: of)?"
    r"|ran out of|run out of|out of|over|maxed out|consumed)"
)


def _spent(noun: str) -> tuple[str, str]:
    """Patterns for a noun with a word of exhaustion near it, on either side (R-L5)."""
    return rf"\b{noun}\b{_GAP}{{0,7}}?[ \n:]+{_SPENT}", rf"{_SPENDS}{_GAP}{{0,6}}?[ \n]+{noun}\b"


def _compiled(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)


_PERIOD = r"(?:[0-9]+ ?h(?:ou)?rs?|five hours?|hourly|daily|weekly|monthly|session)"
_FAMILY = r"(?:opus|sonnet|haiku|fable)(?: [0-9.]+)?"
_PLAN_NOUN = (
    rf"(?:(?:{_PERIOD}|{_FAMILY}|usage|subscription|plan|tier|capacity|messages?|premium requests?)"
    r" (?:limits?|caps?|allowances?))"
)
_QUOTA_NOUN = (
    r"(?<!disk )(?<!storage )(?<!inode )(?<!file )(?<!filesystem )(?<!memory )(?<!cpu )(?<!resource )(?<!compute )"
    r"(?:quotas?(?! groups?\b))"
)
_MONEY_NOUN = r"(?:(?:spend(?:ing)?|billing)(?: hard| soft)? (?:limits?|caps?))"
_RATE_NOUN = (
    r"(?:rate limits?|(?:api )?requests? limits?|requests? rate|concurrency limits?"
    r"|(?:requests|tokens) per (?:second|minute|min|hour)|[rt]pm limits?)"
)

MONEY = _compiled(
    r"\binsufficient (?:account )?(?:balance|quota|credits?|funds)\b",
    r"\bcredit balance (?:is |was )?(?:too low|exhausted|insufficient|depleted)\b",
    r"\b(?:account )?balance (?:is )?(?:exhausted|depleted|too low|insufficient)\b",
    r"\b(?:out of|no|not enough|ran out of|run out of|requires more|used all(?: of)?|exhausted)(?: [\w']+){0,2}? credits?\b",
    r"\bcredits? (?:[\w']+ ){0,3}?(?:exhausted|depleted|used up)\b",
    r"\bpayment required\b",
    r"\bspecified api usage limits?\b",
    r"\bblocked\W{1,3}spending limit\b",
    r"余额不足",
    *_spent(_MONEY_NOUN),
)
QUOTA_AND_BILLING = _compiled(r"\bquota\b[^\n]{0,120}?\bplan and billing\b")
PLAN = _compiled(
    *_spent(_PLAN_NOUN),
    r"\b(?:hit|reached|exceeded) your limits?\b(?! (?:of|on|for)\b)",
    r"\bout of (?:extra |included )?usage\b",
    r"\bexhausted your (?:[\w']+ )?capacity\b",
)
QUOTA = _compiled(*(rf"(?<!forbidden: ){pattern}" for pattern in _spent(_QUOTA_NOUN)))
RATE = _compiled(
    *_spent(_RATE_NOUN),
    r"\berror\W{1,4}rate limit(?=\W*(?:\n|$)|[\"'},])",
    r"\brate limited\b(?! to\b)",
    r"\b(?:blocked|rejected|denied|refused|throttled) by (?:[\w']+ ){0,3}?rate limit(?:er|ing|s)?\b",
    r"\bthrottling ?(?:exception|error)\b",
    r"\b(?:was|were|been|is|are|being|requests?|got) throttled\b",
    r"\bresource (?:has been |is )?exhausted\b",
    r"\brate exceeded\b",
)
MANY_REQUESTS = _compiled(r"\btoo many (?:[\w']+ )?requests\b", r"\btoo many tokens,? please wait\b", r"\bhttp 429\b")

PER_MINUTE = re.compile(r"\bper min(?:ute)?\b")
PER_DAY = re.compile(r"\bper day\b")
ONE_MODEL = re.compile(rf"\b(?:on|for) this model\b|\bper model\b|\b{_FAMILY} (?:weekly )?(?:limits?|caps?)\b")
OVERLOADED = re.compile(r"\boverloaded\b")

_NAMED_STATUS = (
    r"\b(?:(?:http(?:/[0-9.]+)?|[a-z_]*status(?:[ _-]?code)?|code)\b\\*[\"']?\s{0,3}"
    r"(?:[:=]|is|was|of)?\s{0,3}\\*[\"']?|api error: )"
)
_REPORTED = r"\b(?:errors?|got|received|returned|rejected)\b[\s:]{1,3}(?:an? )?\(?"
_COUNTED = (
    r"(?![.,:]?[0-9]|[\w%#/+*=]|-\w"
    r"|\s+(?:ms|s|secs?|seconds?|min|minutes?|hours?|days?|times|lines?|files?|tests?|items?|rows?|bytes|tokens|issues?|words)\b)"
)


def _status(code: str) -> re.Pattern[str]:
    """A number as an HTTP status, never as a count, line, port, issue, duration or part of a longer number (R-L4)."""
    named = rf"{_NAMED_STATUS}{code}{_COUNTED}"
    reported = rf"{_REPORTED}{code}{_COUNTED}(?=\s*$|\s*[^\w\s]|\s+(?:too many|from|retry)\b)"
    leading = rf"(?<![\w.,:#/-]){code}\s+(?:http|status)\b"
    return re.compile(rf"{named}|{reported}|{leading}", re.IGNORECASE | re.MULTILINE)


STATUS_429 = _status("429")
STATUS_402 = _status("402")

_CLAUSE = re.compile(r"[.;:!?\n,·∙•|(){}\[\]\"—–<>=]|\b(?:because|due to|since|as|but|after|then|so)\b")
_HEDGE = re.compile(
    r"\b(?:not|never|no|without|if|when|whenever|unless|until|whether|once|before|in case|may|might|could|can|should|will|would"
    r"(?! exceed\b)|to (?:avoid|prevent|reach|hit|exceed)|avoid\w*|prevent\w*|approach\w*|near|nearing|close to|about to|almost"
    r"|nearly|tests?|testing|handl\w+|simulat\w+|document\w*|\w+n't)\b"
)
_PART_ONLY = re.compile(r"(?<![0-9.])[0-9]{1,2}(?:\.[0-9]+)? ?%")
_REACH = 160  # how far back a clause is read


def plain_words(text: str) -> str:
    """Lower case, typographic apostrophes straightened, identifiers taken apart. Keeps every line."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text.replace("’", "'").replace("‑", "-"))
    return re.sub(r"(?<=\w)[_-]+(?=\w)|_", " ", text.lower()).replace("\t", " ").replace("  ", " ")


def claims(words: str, patterns: tuple[re.Pattern[str], ...]) -> Iterator[re.Match[str]]:
    """Where the patterns match and nothing takes it back: no negation, condition or mere part of a quota (R-L5)."""
    for pattern in patterns:
        for found in pattern.finditer(words):
            before = words[max(0, found.start() - _REACH) : found.start()]
            clause = _CLAUSE.split(before)[-1] + found[0]
            if not _HEDGE.search(_without_own_words(clause, found[0])) and not _PART_ONLY.search(clause):
                yield found


def _without_own_words(clause: str, claim: str) -> str:
    """The clause without the words that are part of the claim by themselves: `no credits`, `not enough credits`."""
    return clause.removesuffix(claim) + re.sub(r"^(?:no|not)\b", "", claim)
