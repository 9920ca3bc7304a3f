"""The Python SDK and the typed control client: no server code."""
