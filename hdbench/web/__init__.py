"""What the servers of hdbench share: who may ask, what may be asked, how they start and stop."""
