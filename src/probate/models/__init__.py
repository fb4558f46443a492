"""Causal language models, loaded by name, local folder or hub id, and the embedded default model."""
