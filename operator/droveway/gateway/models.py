"""What a route can use, as the model lists of the vendors' APIs."""

from typing import Any

from droveway.gateway.client import Headers
from droveway.gateway.config import Route


def model_list(route: Route, path: str, headers: Headers) -> dict[str, Any]:
    """The models of a route's candidates, each once, in the shape that the asking client knows."""
    models = list(dict.fromkeys(candidate.model for candidate in route.candidates))
    if path.startswith("/v1beta/"):
        return {"models": [{"name": f"models/{model}", "displayName": model} for model in models]}
    if any(name == b"anthropic-version" for name, _ in headers):
        found = [
            {"type": "model", "id": model, "display_name": model, "created_at": "1970-01-01T00:00:00Z"}
            for model in models
        ]
        return {"data": found, "has_more": False, "first_id": models[0], "last_id": models[-1]}
    return {
        "object": "list",
        "data": [{"id": model, "object": "model", "created": 0, "owned_by": route.key.name} for model in models],
    }
