"""Batch scoring: a file or folder through an endpoint, resumable, in order, on capacity to spare."""
