"""Schemas of library files and records: one pydantic model each, without hidden defaults."""
