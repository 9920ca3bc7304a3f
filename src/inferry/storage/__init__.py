"""Metadata in SQL and blobs in a directory."""
