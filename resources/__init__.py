"""What assets are given: the lake, and later clusters and the model registry."""
