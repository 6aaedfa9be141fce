"""Who the desk deals with and what moves: KYC, screening, transaction monitoring, policies, and the work of officers."""
