"""Causal language models by name, folder or hub id; the embedded default."""
