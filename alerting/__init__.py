"""What leaves to people: the margin decision, who is told and how, the ledger of notifications, and who sends them."""
