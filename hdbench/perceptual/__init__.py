"""Perceptual networks: their files, their training, and which one a benchmark uses."""
