"""Lake tables without an orchestrator: read, write, look back, roll back, evolve, mirror."""
