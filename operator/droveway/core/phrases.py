"""The words in which providers and CLIs say that a quota is spent (R-L4..R-L6, R-C19). Standard library only.

A small grammar: the name of a quota, a word of exhaustion near it on either side, and nothing else in between than a few words
of the same sentence. What takes such a claim back stands in `hedges`.

Phrases are looked for in *plain words*: lower case, identifiers taken apart (`rate_limit_error`, `RateLimitError` and
`rate-limit error` are the same words), addresses left out. Statuses such as 429 are looked for in the text as it was printed.

Every repetition is bounded, or of one kind of character that nothing beside it matches: no text makes a search slow.
"""

import re
from typing import NamedTuple


class Wording(NamedTuple):
    """Ways to say one thing.

    Attributes:
        needs: without one of these none of the patterns matches: most texts are settled by looking for them.
        patterns: each a claim.
    """

    needs: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]


_GAP = r"(?:[ \n]+[\w'$/%`]{1,64}(?:[.,][0-9]{1,12}){0,4})"  # a word between two that belong together; never across a clause
_SPENT = (
    r"(?:reached|hit|exceeded|exceeds|exhausted|depleted|surpassed|used up|maxed out|consumed|ran out|run out|error|exception)"
    r"\b(?! (?:handl|class|type|test|code path))"
)
_SPENDS = (
    r"\b(?:reached|reaching|hit|hitting|exceeded|exceeds?|exceeding|exhausted|depleted|surpassed|used up"
    r"|used (?:all|100%)(?: of)?|ran out of|run out of|out of|over|maxed out|consumed)"
)


def _spent(noun: str) -> tuple[str, str]:
    """Patterns for a noun with a word of exhaustion near it, on either side (R-L5)."""
    return rf"\b{noun}\b{_GAP}{{0,7}}?[ \n:]+{_SPENT}", rf"{_SPENDS}{_GAP}{{0,6}}?[ \n]+{noun}\b"


def _wording(needs: str, *patterns: str) -> Wording:
    return Wording(tuple(needs.split("|")), tuple(re.compile(pattern) for pattern in patterns))


def _unless(words: str) -> str:
    """None of these words stands right before: a disk has a quota too (R-L6)."""
    return "".join(rf"(?<!\b{word} )" for word in words.split())


_LONG_PERIOD = r"(?:[0-9]{1,3} ?(?:h(?:ou)?rs?|days?|weeks?)|five hours?|hourly|daily|weekly|monthly|session)"
_FAMILY = r"(?:opus|sonnet|haiku|fable)(?: [0-9.]{1,6})?"
_PLAN_WORD = (
    rf"(?:{_LONG_PERIOD}|{_FAMILY}|usage|subscription|plan|tier|free|capacity|credit|messages?|premium requests?)"
)
_OF_OURS = r"(?! of (?!your|the|our|this|its|[0-9]|[\w']{1,20} (?:requests|tokens|messages|usage|plan)\b))"
_PLAN_NOUN = (
    rf"(?:(?:{_PLAN_WORD} ){{1,3}}(?:limits?|caps?|allowances?)"
    rf"|{_LONG_PERIOD} (?:rate|requests?|tokens?) limits?){_OF_OURS}"
)
_QUOTA_NOUN = (
    _unless("allocated disk storage inode file filesystem memory cpu resource compute object pod")
    + r"(?:quotas?(?! groups?\b))"
)
_MONEY_NOUN = r"(?:(?:spend(?:ing)?|billing)(?: hard| soft)? (?:limits?|caps?))"
_RATE_NOUN = (
    _unless("pull write download secondary frame sample disk")
    + r"(?:rate limits?|(?:api )?requests? limits?|requests? rate|concurrency limits?"
    r"|(?:requests|tokens) per (?:second|minute|min|hour)|(?:max )?[rt]pm(?: limits?)?)"
    r"(?! exceeded for (?:user id|installation|site|[0-9a-z]{1,4}[.:][0-9a-z]{1,4}[.:]))"
)

MONEY = _wording(
    "balance|insufficient|payment|api usage|spend|billing|key with|余额|欠费",
    r"\binsufficient (?:account )?(?:balance|quota|credits?|funds)\b",
    r"\bcredit balance (?:is |was )?(?:too low|exhausted|insufficient|depleted)\b",
    r"\b(?:account )?balance (?:is )?(?:exhausted|depleted|too low|insufficient)\b",
    r"\bpayment required(?=\W{0,3}(?:\n|$)|[.,:;\"'})\]])",
    r"\bspecified (?:workspace |organization )?api usage limits?\b",
    r"\bblocked\W{1,3}spending limit\b",
    r"\bkey with a higher (?:\w{1,16} )?limit\b",
    r"\baccount [\w. -]{0,64}?(?:suspended|not active|deactivated)\b[^\n]{0,80}?"
    r"\b(?:balance|billing|spend\w{0,4}|invoices?|payments?)\b",
    r"余额不足|欠费",
    *_spent(_MONEY_NOUN),
)
CREDITS = _wording(  # said beside a spent plan, too: that these do not help either
    "credit",
    r"\b(?:out of|no|not enough|ran out of|run out of|requires more|used all(?: of)?|exhausted|exceeded)"
    r"(?: [\w']{1,32}){0,3}? credits?\b(?! (?:are |is |were |was )?(?:needed|required|charged|used|spent|deducted)\b)",
    r"\bcredits? (?:[\w']{1,32} ){0,3}?(?:exhausted|depleted|used up)\b",
)
QUOTA_AND_BILLING = _wording("plan and billing", r"\bquota\b[^\n]{0,120}?\bplan and billing\b")
PLAN = _wording(
    "limit|cap|allowance|usage|quota|上限|限额|额度|配额",
    *_spent(_PLAN_NOUN),
    *_spent(r"free (?:allocated )?quotas?"),
    r"\b(?:hit|reached|exceeded) your limits?\b(?! (?:of|on|for)\b(?! (?:your|this|claude|gpt|gemini)\b))",
    r"\byou(?:'ve| have) (?:hit|reached|exceeded) the limits?(?= (?:of|for) your (?:current )?plan\b|\W{0,2}(?:\n|$)|[.!] )",
    r"\bout of (?:extra |included )?usage\b",
    r"\bused (?:all|100%) of (?:your |the |today's |this \w{1,8}'s ){1,2}(?:free |included )?usage\b",
    r"\bexhausted your (?:[\w']{1,32} )?capacity\b",
    r"\bfree (?:quota|usage|allowance) used\b(?! [0-9]{1,2}%)",
    r"使用上限|(?:限额|额度|配额)\w{0,4}(?:用完|用尽|耗尽)",
)
QUOTA = _wording("quota", *(rf"(?<!forbidden: ){pattern}" for pattern in _spent(_QUOTA_NOUN)))
RATE = _wording(
    "limit|rate|throttl|exhausted|per |rpm|tpm|allocated quota|速率|频繁",
    *_spent(_RATE_NOUN),
    r"\berror\W{1,4}rate limit(?=\W{0,3}(?:\n|$)|[\"'},])",
    r"\b(?:was|were|been|is|are|be|being|get|got|getting|requests?|temporarily|upstream) rate limited\b(?! to\b)",
    r"\brate limited(?=\W{0,3}(?:\n|$)|[.,;:!()\"'—–-]| (?:by|on|after|for|again|until|upstream|retrying)\b)",
    r"\b(?:blocked|rejected|denied|refused|throttled) by (?:[\w']{1,32} ){0,3}?rate limit(?:er|ing|s)?\b",
    r"\bthrottling ?(?:exception|error)\b(?! message)",
    r"\brequest frequency (?:has been |is )?limited\b",
    r"\b(?:was|were|been|is|are|being|requests?|got) throttled\b",
    r"\bresource (?:has been |is )?exhausted\b",
    r"\brate exceeded\b",
    r"\ballocated quota exceeded\b",  # tokens a minute, of Alibaba's models
    r"速率限制|请求过于频繁",
)
MANY_REQUESTS = _wording(
    "too many|http 429",
    r"\btoo many (?:[\w']{1,32} )?requests\b",
    r"\btoo many tokens(?: per (?:minute|day))?,? please wait\b",
    r"\bhttp 429\b",
)

RETRY_SOON = re.compile(
    r"\bretry in [0-9.]{1,12} ?(?:m?s|sec\w{0,5}|min\w{0,5})\b|\bwait a (?:moment|minute|few (?:seconds|minutes))\b"
)
PER_MINUTE = re.compile(r"\bper min(?:ute)?\b|\b[rt]pm\b")
PER_DAY = re.compile(r"\bper (?:day|week|month)\b|\b(?:daily|weekly|monthly)\b|\b[rt]pd\b")
ONE_MODEL = re.compile(r"\b(?:on|for) this model\b|\bper model\b")
ONE_FAMILY = re.compile(
    rf"\b{_FAMILY} (?:weekly |usage )?(?:limits?|caps?)\b|\b(?:weekly|usage) limits? for {_FAMILY}\b"
)
OVERLOADED = re.compile(
    r"\boverloaded\b|\b(?:at|over) capacity\b|\bcapacity exceeded\b|\bno capacity available\b|\bhigh demand\b"
)

_NAMED_STATUS = (
    r"\b(?<!exit )(?<!exited with )(?:(?:http(?:/[0-9.]{1,4})?|[a-z_]{0,32}status(?:[ _-]?code)?|code)\b\\{0,4}[\"']?\s{0,3}"
    r"(?:[:=]|is|was|of)?\s{0,3}\\{0,4}[\"']?|api error: )"
)
_REPORTED = r"\b(?:errors?|got|received|returned|rejected)\b[\s:]{1,3}(?:an? )?\(?"
_COUNTED = (
    r"(?![.,:]?[0-9]|[\w%#/+*=]|-\w"
    r"|\s{1,3}(?:ms|s|secs?|seconds?|min|minutes?|hours?|days?|times|lines?|files?|tests?|items?|rows?|bytes|tokens|issues?|words)\b)"
)


def _status(code: str) -> Wording:
    """A number as an HTTP status, never as a count, line, port, issue, duration or part of a longer number (R-L4).

    At the start of a line it is one before a sentence or a body (`429 Provider returned error`), and none before a plural.
    """
    named = rf"{_NAMED_STATUS}{code}{_COUNTED}"
    reported = rf"{_REPORTED}{code}{_COUNTED}(?=\s{{0,3}}$|\s{{0,3}}[^\w\s]|\s{{1,3}}(?:too many|from|retry)\b)"
    leading = rf"(?<![\w.,:#/-]){code}\s{{1,3}}(?:http|status)\b|^[\"'\W]{{0,3}}(?-i:{code}:? (?:[A-Z][a-z]|[\"'{{]))"
    return Wording((code,), (re.compile(rf"{named}|{reported}|{leading}", re.IGNORECASE | re.MULTILINE),))


STATUS_429 = _status("429")
STATUS_402 = _status("402")
STATUS_413 = _status("413")

_ADDRESS = re.compile(r"\bhttps?://[^\s\"'<>)\]}]{1,2048}")
_FRAMES = str.maketrans({"’": "'", "‑": "-", "\t": " ", "│": " ", "┃": " ", "⎿": " ", "*": " "})


def without_addresses(text: str) -> str:
    """The text without what stands in web addresses, which say nothing of this failure."""
    return _ADDRESS.sub("", text)


def plain_words(text: str) -> str:
    """Lower case, typographic apostrophes straightened, identifiers taken apart. Keeps every line."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", without_addresses(text).translate(_FRAMES))
    return re.sub(r" {2,}", " ", re.sub(r"(?<=\w)[_-]+(?=\w)|_", " ", text.lower()))
