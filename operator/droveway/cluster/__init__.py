"""Kubernetes IO, thin: client, informer, apply, status writer, Events, Lease."""
