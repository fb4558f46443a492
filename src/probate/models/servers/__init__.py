"""Models behind an OpenAI-compatible server, with a budget and a cache of answers."""
