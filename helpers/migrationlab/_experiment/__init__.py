"""What experiments are made of; the public face is ``migrationlab.experiment``."""
