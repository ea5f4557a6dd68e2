"""A store in memory with a bound in bytes: what was not asked for longest goes first. Standard library only."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

V = TypeVar("V")

OVERHEAD = 512
"""Bytes that an entry takes beside its value: key, table, objects."""


class _Held(NamedTuple, Generic[V]):
    value: V
    size: int
    until: float


@dataclass(slots=True)
class Lru(Generic[V]):
    """Values by key, each until a time of its own.

    Attributes:
        bound: bytes that all of them may take; what alone takes more than an eighth is not kept.
        size: bytes that they take.
    """

    bound: int
    size: int = 0
    _held: OrderedDict[str, _Held[V]] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str, now: float) -> V | None:
        """The value, unless its time is over."""
        held = self._held.get(key)
        if held is None:
            return None
        if held.until <= now:
            self._drop(key)
            return None
        self._held.move_to_end(key)
        return held.value

    def put(self, key: str, value: V, size: int, until: float) -> None:
        """Keeps a value of so many bytes until then, in the place of an earlier one."""
        if key in self._held:
            self._drop(key)
        size += OVERHEAD
        if size * 8 > self.bound:
            return
        self._held[key] = _Held(value, size, until)
        self.size += size
        while self.size > self.bound:
            self._drop(next(iter(self._held)))

    def _drop(self, key: str) -> None:
        self.size -= self._held.pop(key).size
