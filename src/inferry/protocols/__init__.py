"""Bytes <-> tensors, one file per wire protocol."""
