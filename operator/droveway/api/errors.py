"""Errors that say whose turn it is."""


class DrovewayError(Exception):
    """The root of our errors."""


class TryLater(DrovewayError):  # noqa: N818 - says whose turn it is
    """The world will change by itself: back off and try again."""


class UserMustAct(DrovewayError):  # noqa: N818 - says whose turn it is
    """A manifest, a Secret or the set-up must change; retrying is pointless. The message says what to do."""


class Bug(DrovewayError):  # noqa: N818 - says whose turn it is
    """Ours."""
