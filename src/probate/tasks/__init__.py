"""Tasks, one file each. A task turns one model into outcomes and declares its measures."""
