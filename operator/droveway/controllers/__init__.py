"""The loop: kopf wakes, a keyed queue, gather → decide → apply → report."""
