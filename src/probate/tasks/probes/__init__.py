"""Standard probes: an outside check on the same adapters. A probe is a task that answers to a published benchmark."""
