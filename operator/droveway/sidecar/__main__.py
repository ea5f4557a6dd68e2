"""`python -m droveway.sidecar`: the container beside the agent."""

import sys

# The operator is spoken to in plain HTTP, and nothing secret is hashed: OpenSSL would be a third of the memory.
sys.modules.update({"ssl": None, "_ssl": None, "_hashlib": None})  # type: ignore[dict-item]

from droveway.sidecar.process import main  # noqa: E402 - after the line above

sys.exit(main())
