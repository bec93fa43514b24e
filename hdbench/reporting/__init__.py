"""Tables, figures and pages of measured scores, beside published ones."""
