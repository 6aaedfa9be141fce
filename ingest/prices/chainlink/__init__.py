"""Chainlink's price feeds, read over Ethereum JSON-RPC."""
