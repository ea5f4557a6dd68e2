"""What a completion costs, by a table of our own or the public price list. An unknown model has no price; it never costs 0."""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from droveway.api.enums import Dialect
from droveway.core.completion import TokenBreakdown

log = logging.getLogger(__name__)

_LOOK_UP_SECONDS = 30.0
_VENDORS = {
    Dialect.ANTHROPIC: "anthropic",
    Dialect.GEMINI: "google",
    Dialect.OPENAI_CHAT: "openai",
    Dialect.OPENAI_RESPONSES: "openai",
}

Rate = Sequence[tuple[int, float]]
"""US dollars per million tokens, by the size of the whole input: (from so many tokens, rate), ascending."""


class PricedModel(NamedTuple):
    """A model at one account. A price belongs to both."""

    base_url: str
    dialect: Dialect
    model: str


@dataclass(frozen=True, slots=True)
class Rates:
    """The rates of one model. A bucket without a rate of its own costs what input costs; one kept for an hour, what others do."""

    input_mtok: Rate = ()
    output_mtok: Rate = ()
    cache_read_mtok: Rate = ()
    cache_write_mtok: Rate = ()
    cache_write_1h_mtok: Rate = ()

    def cost(self, tokens: TokenBreakdown) -> float:
        """US dollars. Beyond a tier's start its rate holds for all tokens, as vendors bill."""
        size = tokens.input + tokens.cache_read + tokens.cache_write
        write = self.cache_write_mtok or self.input_mtok
        return (
            tokens.input * _at(self.input_mtok, size)
            + tokens.cache_read * _at(self.cache_read_mtok or self.input_mtok, size)
            + (tokens.cache_write - tokens.cache_write_1h) * _at(write, size)
            + tokens.cache_write_1h * _at(self.cache_write_1h_mtok or write, size)
            + (tokens.output + tokens.reasoning) * _at(self.output_mtok, size)
        ) / 1e6

    @property
    def typical(self) -> float:
        """US dollars per million tokens of a typical mix: three of input to one of output."""
        return (3 * _at(self.input_mtok, 0) + _at(self.output_mtok, 0)) / 4


def _at(rate: Rate, size: int) -> float:
    for start, price in reversed(rate):
        if start == 0 or size > start:
            return price
    return 0.0


class Prices:
    """The rates of the models in use: a table's, else the public list's, looked up by a process of its own, once per model.

    Attributes:
        versions: of the `table` and the `list`, as far as there are any.
        on_versions: called when one changes.
    """

    def __init__(self) -> None:
        self._listed: dict[PricedModel, Rates | None] = {}
        self._find: Callable[[PricedModel], Rates | None] = lambda _: None
        self._own: dict[PricedModel, Rates | None] = {}
        self._learning: set[asyncio.Task[None]] = set()
        self.versions: dict[str, str] = {}
        self.on_versions: Callable[[Mapping[str, str]], None] = lambda _: None

    def rates(self, model: PricedModel) -> Rates | None:
        """The rates of a model, if anybody knows them."""
        if model not in self._own:
            self._own[model] = self._find(model)
        return self._own[model] or self._listed.get(model)

    def adopt(self, find: Callable[[PricedModel], Rates | None], version: str) -> None:
        """Takes another table."""
        self._find = find
        self._own.clear()
        self._version("table", version)

    def learn(self, models: Iterable[PricedModel]) -> None:
        """Starts to look up what is new among these models."""
        new = [model for model in dict.fromkeys(models) if model not in self._listed]
        if new:
            self._listed.update(dict.fromkeys(new))
            task = asyncio.create_task(self._look_up(new))
            self._learning.add(task)
            task.add_done_callback(self._learning.discard)

    async def settled(self, seconds: float) -> None:
        """Waits until no look-up is under way, at most so long."""
        if self._learning:
            await asyncio.wait(self._learning, timeout=seconds)

    async def _look_up(self, models: list[PricedModel]) -> None:
        asked = json.dumps([(m.base_url, _VENDORS[m.dialect], m.model) for m in models]).encode()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "droveway.gateway.pricelist",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                async with asyncio.timeout(_LOOK_UP_SECONDS):
                    answer, _ = await process.communicate(asked)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            found = json.loads(answer)
        except (OSError, TimeoutError, ValueError) as error:
            log.warning("prices could not be looked up, so costs stay unknown: %r", error)
            return
        for model, rates in zip(models, found["rates"], strict=True):
            self._listed[model] = Rates(**rates) if rates else None
            if self.rates(model) is None:
                log.warning(
                    "nobody knows what %s at %s costs: its completions have no cost, and budgets in dollars do not see"
                    " them; add it to the price table (docs/costs.md)",
                    model.model,
                    model.base_url,
                )
        self._version("list", found["version"])

    def _version(self, source: str, version: str) -> None:
        if self.versions.get(source) != version:
            self.versions[source] = version
            self.on_versions(self.versions)
