"""Files that people take away: the book and an account as CSV, exactly, and as a PDF to read and to send."""
