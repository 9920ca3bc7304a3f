"""Gates: run what a version must pass against a private copy of it, and tell what came of it."""
