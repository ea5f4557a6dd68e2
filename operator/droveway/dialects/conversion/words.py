"""Names, ids and JSON that every dialect accepts."""

import re
from hashlib import sha256
from typing import Any

from droveway.dialects.bodies import dump_object, parse_any
from droveway.dialects.conversion.model import CannotCarry, Image, Neutral, Text, ToolResult

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
_DATA_URL = re.compile(r"data:([^;,]*);base64,(.*)", re.DOTALL)


def portable_name(name: str) -> str:
    """A tool's name in the letters that all dialects allow; the same name always becomes the same."""
    return name if _NAME.fullmatch(name) else f"t_{_fitted(name)}"


def portable_id(given: str) -> str:
    """A call's id in the letters that all dialects allow."""
    return given if _ID.fullmatch(given) else f"call_{_fitted(given)}"


def as_json(value: Any) -> str:
    """Compact JSON text."""
    return dump_object(value).decode("utf-8", "surrogatepass")


def as_object(arguments: str) -> dict[str, Any]:
    """Arguments of a call as the object that some dialects want. What a model got wrong stays visible."""
    if not arguments.strip():
        return {}
    value = parse_any(arguments.encode("utf-8", "surrogatepass"))
    return value if isinstance(value, dict) else {"malformed": arguments}


def image_of_url(url: str) -> Image:
    """A picture by its address, which may hold it."""
    if found := _DATA_URL.fullmatch(url):
        return Image(found[1], found[2])
    if not url.startswith(("https://", "http://")):
        raise CannotCarry("an image that is neither base64 nor at a web address")
    return Image(url=url)


def url_of_image(image: Image) -> str:
    """The address of a picture, which may hold it."""
    return image.url or f"data:{image.media_type};base64,{image.data}"


def result_text(result: ToolResult) -> str:
    """A result where results are text: that it is an error is said in front."""
    said = "\n".join(part.text for part in result.content if isinstance(part, Text))
    return f"Error: {said}" if result.is_error and not said.lower().startswith("error") else said


def later_instructions(text: str) -> Text:
    """Instructions in the middle of a conversation keep their place: not every dialect has a role for them."""
    return Text(f"<system>\n{text}\n</system>") if text else Text("")


def refuse(body: dict[str, Any], *names: str) -> None:
    """Parameters that change what is asked for, and that no other dialect has.

    Raises:
        CannotCarry: one of them is set.
    """
    for name in names:
        if body.get(name):
            raise CannotCarry(f"the parameter {name}")


def varied(value: Any, default: float = 1.0) -> float | None:
    """How to sample. What is the default of its API is not carried: some models refuse what they cannot vary."""
    return None if isinstance(value, bool) or not isinstance(value, int | float) or value == default else float(value)


def tables(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; anything else has none."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def strings(value: Any) -> tuple[str, ...]:
    """The strings of a list; a lone one counts as a list."""
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(entry for entry in found if isinstance(entry, str))


def stated(**values: Any) -> dict[str, Any]:
    """The parameters that have a value."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {})}


def whole(value: Any) -> int | None:
    """A positive number, or None."""
    return value if type(value) is int and value > 0 else None


def few_stop_sequences(asked: Neutral, most: int) -> None:
    """Raises CannotCarry: more stop sequences than the dialect takes."""
    if len(asked.stop) > most:
        raise CannotCarry(f"{len(asked.stop)} stop sequences")


def _fitted(name: str) -> str:
    return f"{_OTHER.sub('_', name)[:44]}_{sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
