"""A gate for pipelines: whether the inherited change is within a limit, by its interval."""
