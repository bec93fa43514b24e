"""What library files and records may say: one pydantic model each, without hidden defaults."""
