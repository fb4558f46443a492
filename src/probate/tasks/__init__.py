"""Tasks: one file each. A task turns one model into outcomes, and says which measures follow from them."""
