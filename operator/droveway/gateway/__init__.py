"""The LLM data plane."""
