"""Who is told, how and when: contacts with proof of ownership, quiet hours, digests, silences."""
