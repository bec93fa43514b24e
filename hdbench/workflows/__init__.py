"""One file for each verb that does more than one thing: the rooms that know the whole way."""
