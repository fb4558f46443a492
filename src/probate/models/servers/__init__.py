"""Models behind an OpenAI-compatible server: asked within a budget, nothing twice, nothing lost."""
