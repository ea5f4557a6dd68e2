"""The contract: what users write, what they read back, and the names that both processes agree on.

`names` and `enums` are free of pydantic, so that the sidecar can import them cheaply.
"""
