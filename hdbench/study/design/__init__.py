"""Who sees what: the trials of a study, their balance, the number of judgments that it needs."""
