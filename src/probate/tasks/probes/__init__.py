"""Probes: independent checks of the same adapters. A probe is a task that follows a published benchmark."""
