"""On which terms a request may be answered from the cache: what its route allows and what it asks for itself."""

from dataclasses import dataclass

from droveway.api.enums import CacheMode

DAY = 86_400


@dataclass(frozen=True, slots=True)
class CacheRule:
    """What a route says of the cache.

    Attributes:
        mode: who is answered from it.
        ttl: seconds for which an answer is kept.
    """

    mode: CacheMode = CacheMode.ON_REQUEST
    ttl: int = DAY


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one request.

    Attributes:
        ttl: seconds for which its answer is kept.
        max_age: seconds; an older answer is not taken.
        varied: it may state a temperature above 0, and gets the same words again all the same.
    """

    ttl: int
    max_age: int
    varied: bool


def read_terms(rule: CacheRule, own: str | None, standard: str) -> Terms | None:
    """The terms of a request; None: the cache has nothing to do with it.

    Args:
        rule: of its route.
        own: its `X-Droveway-Cache`: `on`, `no-store`, `max-age=<seconds>`; None for no such header.
        standard: its `Cache-Control`, of which `no-store`, `no-cache` and `max-age` count; it never opts in.

    Raises:
        ValueError: its own header says something else.
    """
    if rule.mode is CacheMode.NEVER or (own is None and rule.mode is CacheMode.ON_REQUEST):
        return None
    asked, also = _directives(own or ""), _directives(standard)
    for name, value in asked.items():
        if name not in ("on", "no-store", "max-age") or (name == "max-age") != value.isdecimal():
            raise ValueError(f"on, no-store and max-age=<seconds> are understood, not {name[:32]!r}")
    if "no-store" in asked or "no-store" in also:
        return None
    ages = [int(told["max-age"]) for told in (asked, also) if told.get("max-age", "").isdecimal()]
    ages += [0] if "no-cache" in also else []
    return Terms(rule.ttl, min([rule.ttl, *ages]), rule.mode is CacheMode.ALWAYS)


def _directives(header: str) -> dict[str, str]:
    pairs = (part.strip().lower().partition("=") for part in header.split(","))
    return {name.strip(): value.strip()[:9] for name, _, value in pairs if name}
