"""Who the desk deals with and what moves: KYC, screening, monitoring, policies, and the work of officers."""
