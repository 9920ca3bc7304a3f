"""One small Protocol per plugin point. Imports types and errors only."""
