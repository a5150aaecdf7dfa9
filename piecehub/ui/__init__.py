"""Pages for people: runs with their DAG, and published models with what proves them. Read-only, without TensorFlow."""
