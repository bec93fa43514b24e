"""What is on the user's disk: paths, datasets, runs, results, and whether each is current."""
