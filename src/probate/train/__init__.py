"""Training: fine-tune a PEFT adapter on a list of records."""
