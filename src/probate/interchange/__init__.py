"""To and from other tools: lm-evaluation-harness tasks as Probate tasks, and the other way round."""
