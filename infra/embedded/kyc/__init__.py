"""Local servers that speak Persona's and Sumsub's documented contracts, verify nobody, and fail on command."""
