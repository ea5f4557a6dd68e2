"""What changes how requests are served stands in a resource; the environment says where things are, and bounds."""

from droveway.gateway.settings import GatewaySettings

SWITCHES = {
    "cache_enabled": "turns off for the whole process what routes and requests ask for; it turns nothing on",
    "otel_enabled": "where spans go is the process's business; no request is served differently",
}
"""Every switch, and why it is none of the kind that belongs into a resource."""


def test_no_switch_of_the_data_plane_hides_in_the_environment() -> None:
    switches = {name for name, field in GatewaySettings.model_fields.items() if field.annotation is bool}
    assert switches == SWITCHES.keys(), (
        "make it a field of the resource whose requests it changes (docs/adr/0009-change-with-care.md)"
    )
