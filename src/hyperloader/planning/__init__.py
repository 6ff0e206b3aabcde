"""What is to be run, what that costs, and how far it is."""
