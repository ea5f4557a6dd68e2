"""Droveway keeps a fleet of AI coding agents working when a model provider is spent, broken or slow."""

__version__ = "0.1.0"
