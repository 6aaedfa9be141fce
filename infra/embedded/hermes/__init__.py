"""A local Hermes that speaks Pyth's contract, serves prices that it is told, and fails on command."""
