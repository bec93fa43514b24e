"""Images that another program made: checked, copied, and scored like any other method's."""
