"""Scenes: what datasets hold, how it is found, checked, decoded and batched."""
