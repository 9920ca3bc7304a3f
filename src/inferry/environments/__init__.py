"""Locked Python environments, built and cached with uv."""
