"""What providers report after they took a message: proven by its signature, joined to the notification."""
