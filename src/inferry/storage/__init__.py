"""Metadata in SQL and blobs in a directory."""

from inferry.storage.blobs import DirectoryBlobs
from inferry.storage.metadata import SqlStore, open_store

__all__ = ["DirectoryBlobs", "SqlStore", "open_store"]
