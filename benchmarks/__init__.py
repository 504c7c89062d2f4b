"""How fast this is, how much memory it takes, and how that compares. Not part of the package."""
