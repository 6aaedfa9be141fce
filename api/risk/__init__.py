"""Reads of the risk marts over HTTP."""
