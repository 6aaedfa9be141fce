"""Providers of verification behind one port; each module holds what is true of one of them."""
