"""Settings, clients, clock and logs: the lowest layer, which imports nothing of Ballast."""
