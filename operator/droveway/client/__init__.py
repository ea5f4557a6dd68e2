"""Fan-out from Python, in process or through the gateway: the same calls, the same answers, the same trace.

`async with connect() as client: response = await client.fanout(FanoutRequest(...))`
"""

from droveway.client.local import LocalFanout
from droveway.client.provider import DialectClient, ProviderClient, ProviderError
from droveway.client.remote import GatewayFanout, Refused
from droveway.client.settings import ClientSettings, connect

__all__ = [
    "ClientSettings",
    "DialectClient",
    "GatewayFanout",
    "LocalFanout",
    "ProviderClient",
    "ProviderError",
    "Refused",
    "connect",
]
