"""The store in memory against a model of it: bounded, the least used goes first, and nothing lives beyond its time."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from droveway.core.lru import OVERHEAD, Lru

BOUND = OVERHEAD * 16
KEYS = st.sampled_from([f"k{n}" for n in range(24)])


class LruMachine(RuleBasedStateMachine):
    """The model is a plain list: the most recently used last."""

    def __init__(self) -> None:
        super().__init__()
        self.lru: Lru[int] = Lru(BOUND)
        self.model: list[tuple[str, int, int, float]] = []
        self.now, self.number = 0.0, 0

    def find(self, key: str) -> tuple[str, int, int, float] | None:
        return next((held for held in self.model if held[0] == key), None)

    @rule(key=KEYS, size=st.integers(0, OVERHEAD * 2), lives=st.integers(1, 20))
    def put(self, key: str, size: int, lives: int) -> None:
        self.number += 1
        self.lru.put(key, self.number, size, self.now + lives)
        self.model = [held for held in self.model if held[0] != key]
        if (size + OVERHEAD) * 8 <= BOUND:
            self.model.append((key, self.number, size + OVERHEAD, self.now + lives))
        while sum(held[2] for held in self.model) > BOUND:
            self.model.pop(0)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        held = self.find(key)
        if held and held[3] <= self.now:
            self.model.remove(held)
            held = None
        assert self.lru.get(key, self.now) == (held and held[1])
        if held:
            self.model.remove(held)
            self.model.append(held)

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def it_is_bounded_and_counts_right(self) -> None:
        assert self.lru.size == sum(held[2] for held in self.model) <= BOUND
        assert len(self.lru) == len(self.model)


TestLru = LruMachine.TestCase
