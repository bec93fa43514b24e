"""The design of a study: its trials, their balance, and the number of judgments that it needs."""
