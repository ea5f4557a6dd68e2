"""Asking several at once, wherever the asking happens: in the gateway, or in a client's own process."""

from droveway.fanout.leg import Heard, Leg, Question, chat_body, usage_of
from droveway.fanout.run import Ask, Fanout, Tell

__all__ = ["Ask", "Fanout", "Heard", "Leg", "Question", "Tell", "chat_body", "usage_of"]
