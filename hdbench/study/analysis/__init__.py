"""What participants answered: reading it, counting it, and the statistics of preferences."""
