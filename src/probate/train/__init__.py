"""Training: a list of records becomes a PEFT adapter folder."""
