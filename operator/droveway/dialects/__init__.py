"""What each LLM API speaks: requests, streams, usage, and what its errors mean."""
