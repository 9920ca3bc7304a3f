"""Public fakes and contract test classes."""
