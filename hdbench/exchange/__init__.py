"""Bundles: measured results that labs exchange; what is in one, and whether it holds together."""
