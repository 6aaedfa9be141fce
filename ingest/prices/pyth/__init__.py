"""Prices of Pyth: the live stream of Hermes, bound to what the network attested, and daily history."""
