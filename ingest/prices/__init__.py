"""The price oracle: readings of several sources, one price of each asset, and the reasons."""
