"""What a registry does: pull, push, list, delete. Knows no HTTP server."""
