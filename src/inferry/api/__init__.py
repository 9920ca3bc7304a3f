"""The control HTTP API: thin."""
