"""Settlement events and positions."""
