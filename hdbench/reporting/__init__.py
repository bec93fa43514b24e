"""Tables, figures and pages of what was measured, beside what was published."""
