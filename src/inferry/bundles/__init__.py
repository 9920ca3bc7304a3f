"""Detect, inspect, pack, verify and open a bundle."""
