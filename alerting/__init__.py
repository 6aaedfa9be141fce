"""What leaves to people: the margin decision, the delivery ledger, the channels and the worker that feeds them."""
