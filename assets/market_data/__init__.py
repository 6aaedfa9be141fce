"""Closes and prices."""
