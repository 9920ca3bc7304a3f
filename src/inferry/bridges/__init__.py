"""Bridges: what stands between Inferry and another tool's world, spoken to in that tool's own protocol."""
