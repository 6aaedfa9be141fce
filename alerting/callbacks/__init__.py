"""What providers report after they took a message: verified on the raw body, joined to the notification."""
