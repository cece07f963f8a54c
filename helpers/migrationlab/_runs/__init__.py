"""What keeps a run unchangeable and plain; the public face is ``migrationlab.runs``."""
