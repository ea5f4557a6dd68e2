"""Tenants' patterns in the shared gateway: in linear time, whatever the pattern. The same engine that admits them."""

import re

import re2

from droveway.core.signatures import Pattern

_OPTIONS = re2.Options()
_OPTIONS.case_sensitive = False
_OPTIONS.log_errors = False


def linear_pattern(text: str) -> Pattern:
    """Compiles a pattern whose search cannot backtrack.

    Raises:
        re.error: it is none.
    """
    try:
        pattern: Pattern = re2.compile(text, _OPTIONS)
    except re2.error as error:
        raise re.error(str(error)) from error
    return pattern
