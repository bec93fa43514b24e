"""Scores of images against labels: reads folders and scenes, knows no model that made them."""
