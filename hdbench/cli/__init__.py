"""The verbs: thin click modules; heavy imports happen inside the functions."""
