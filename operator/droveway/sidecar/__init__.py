"""The container beside the agent: it reads the agent's stream and tells the operator. Standard library only."""
