"""What stands where in a network, and what passes through it, found by structure instead of by name."""
