"""The configuration: typed settings, and their schemas for editors."""
