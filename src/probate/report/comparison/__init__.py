"""Two sets of results, Probate's own or other tools', compared item by item."""
