"""Measures beyond segmentation scores, and galleries: of methods on a benchmark."""
