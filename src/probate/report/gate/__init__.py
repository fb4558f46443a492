"""A gate for pipelines: is what was inherited within a limit? Decided on the interval, not on the point."""
