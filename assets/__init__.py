"""What the tables are: one package per domain."""
