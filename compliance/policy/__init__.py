"""Policy as versioned files: what the rules of compliance go by, tested and replayed before it takes effect."""
