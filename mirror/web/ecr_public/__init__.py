"""The ECR Public API: what it shares with the private one is taken from there; the gallery is its own."""
