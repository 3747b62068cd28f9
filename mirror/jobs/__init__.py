"""Work that nobody asked for: what the node does by itself, at its own times."""
