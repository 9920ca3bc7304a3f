"""Keys and the sandbox."""
