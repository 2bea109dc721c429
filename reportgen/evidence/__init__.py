"""Numbers that say what a head does, and whether it matters."""
