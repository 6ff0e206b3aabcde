"""The mathematics: what a hypernetwork generates, where it goes in T5, and the backbones that it goes into."""
