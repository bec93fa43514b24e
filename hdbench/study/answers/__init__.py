"""Answers on disk: the database that a study's server writes and the analysis reads."""
