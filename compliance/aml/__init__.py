"""Transaction monitoring: features by SQL, pure rules, and the gate that every transaction passes."""
