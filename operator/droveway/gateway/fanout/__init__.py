"""`/fanout`: one question to several candidates. Every call is a request like any other; see leg.py."""

from droveway.gateway.fanout.endpoint import PATH as FANOUT_PATH
from droveway.gateway.fanout.endpoint import FanoutEndpoint

__all__ = ["FANOUT_PATH", "FanoutEndpoint"]
