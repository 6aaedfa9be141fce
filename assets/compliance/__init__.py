"""The warehouse's view of compliance: copies of its tables, and the nightly screening of customers."""
