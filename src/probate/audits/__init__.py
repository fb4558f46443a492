"""An audit of a file that a model wrote: what is in it, and whether it should be trained on as it is."""
