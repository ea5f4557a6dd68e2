"""The price table of whoever runs this: a file that is read again when it changes, and goes before the public price list."""

import asyncio
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic.alias_generators import to_camel

from droveway.gateway.prices import PricedModel, Prices, Rates

log = logging.getLogger(__name__)

_POLL_SECONDS = 2.0  # a mounted ConfigMap follows its edit within a minute anyway
_LONGEST = 2**20  # characters; a ConfigMap is never longer
_MOST_MODELS = 1000

Price = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,5})(\.[0-9]{1,9})?$")]


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True)


class PerMillion(_Part):
    """US dollars per million tokens. What the cache reads or writes costs as much as other input unless told."""

    input: Price
    output: Price
    cache_read: Price | None = None
    cache_write: Price | None = None
    cache_write_1h: Price | None = Field(None, alias="cacheWrite1h")

    @field_validator("*", mode="before")
    @classmethod
    def _text(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, int | float):
            raise ValueError(f'a price is a decimal string: write {info.field_name}: "{value}"')  # noqa: TRY004
        return value

    @cached_property
    def rates(self) -> Rates:
        """The same as rates."""
        told = (self.input, self.output, self.cache_read, self.cache_write, self.cache_write_1h)
        return Rates(*(((0, float(price)),) if price is not None else () for price in told))


class Line(_Part):
    """The prices of a model, by its provider's name of it; a `*` at the end stands for anything."""

    model: Annotated[str, Field(pattern=r"^[^\s*]{0,255}\*?$", min_length=1)]
    base_url: Annotated[str, Field(alias="baseURL", max_length=1024)] = ""
    usd_per_million_tokens: PerMillion

    def fits(self, asked: PricedModel) -> bool:
        """Whether it is about this model; a base URL stands for everything below it."""
        start, anything, _ = self.model.partition("*")
        named = asked.model.startswith(start) if anything else asked.model == start
        base = self.base_url.rstrip("/")
        return named and (not base or asked.base_url == base or asked.base_url.startswith(base + "/"))


class PriceTable(_Part):
    """Lines in order: the first that fits counts. `version` names it in logs and metrics."""

    version: Annotated[str, Field(min_length=1, max_length=63)]
    models: Annotated[list[Line], Field(max_length=_MOST_MODELS)] = []

    def find(self, asked: PricedModel) -> Rates | None:
        """The rates of a model; None: the table does not know it."""
        return next((line.usd_per_million_tokens.rates for line in self.models if line.fits(asked)), None)


def read_table(text: str) -> PriceTable:
    """A price table of YAML.

    Raises:
        ValueError: it is none; the message names the line and says what is wrong with it.
    """
    try:
        return PriceTable.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(f"it is not YAML: {error}") from error
    except ValidationError as error:
        told = (f"{'.'.join(map(str, e['loc'])) or 'the table'}: {e['msg']}" for e in error.errors()[:3])
        raise ValueError("; ".join(told)) from error


class PriceFile:
    """Keeps prices as a file says them.

    Args:
        path: of the table.
        prices: who is told.
        on_error: called when it cannot be read; the last good table stays.
    """

    def __init__(self, path: Path, prices: Prices, on_error: Callable[[], object]) -> None:
        self._path, self._prices, self._on_error = path, prices, on_error
        self._seen: tuple[int, int, int] | None = None

    async def run(self) -> None:
        """Looks for changes until cancelled."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            self.load()

    def load(self) -> None:
        """Reads the table if the file is another one than before."""
        try:
            stat = self._path.stat()
            if (seen := (stat.st_ino, stat.st_mtime_ns, stat.st_size)) == self._seen:
                return
            self._seen = seen
            with self._path.open() as file:
                table = read_table(file.read(_LONGEST))
        except (OSError, ValueError) as error:
            self._on_error()
            log.warning("the price table %s cannot be used, the last good one stays: %s", self._path, error)
            return
        self._prices.adopt(table.find, table.version)
        log.info("price table %s: %d lines from %s", table.version, len(table.models), self._path)
