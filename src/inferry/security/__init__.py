"""Keys, private files and the sandbox that model code runs in."""
