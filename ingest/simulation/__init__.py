"""A made-up market and book, for machines without real data; everything it makes says `simulated`."""
