"""Names of completions that stay the same when a stream is read again (R-C35)."""

import hashlib
import struct

_ROWS = 4
_CELLS = 1 << 14
_PLACES = struct.Struct(f"<{_ROWS}H")
_COUNT_BYTES = 4


class Identities:
    """Gives each completion of one attempt an id from the text that told of it, in the same room however many there are.

    The same text again gets another id, by how often it came before. That is kept as a count-min sketch, which never counts
    too low, so ids are unique. It may count too high, but does so alike whenever the stream is read from its beginning; read
    from its middle, the ids are those of the whole but for a few in the thousands.
    """

    def __init__(self, run_id: str, attempt: int) -> None:
        self._seed = hashlib.sha256(f"{run_id}\0{attempt}\0".encode("utf-8", "replace"))
        self._counts = memoryview(bytearray(_ROWS * _CELLS * _COUNT_BYTES)).cast("I")
        self._told: str | None = None
        self._digest = b""

    def name(self, told: str) -> str:
        """The id of one more completion that this text tells of: 32 hexadecimal digits."""
        if told != self._told:  # a line may tell of many, and be long
            hashing = self._seed.copy()
            hashing.update(told.strip().encode("utf-8", "replace"))
            self._told, self._digest = told, hashing.digest()
        digest = self._digest
        if times := self._again(digest):
            digest = hashlib.sha256(digest + b"%d" % times).digest()
        return digest[:16].hex()

    def _again(self, digest: bytes) -> int:
        """How often this digest came before, or more."""
        counts = self._counts
        a, b, c, d = _PLACES.unpack_from(digest)
        places = a % _CELLS, _CELLS + b % _CELLS, 2 * _CELLS + c % _CELLS, 3 * _CELLS + d % _CELLS
        times: int = min(map(counts.__getitem__, places))
        for place in places:
            if counts[place] == times:
                counts[place] = times + 1
        return times
