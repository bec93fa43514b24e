"""The verbs: thin click modules that import what computes only when it is needed."""
