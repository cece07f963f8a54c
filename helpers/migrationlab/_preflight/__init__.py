"""What ``preflight`` is made of: what hosts offer, and what a domain needs of them."""
