"""Tables, checks, models, cost and placement in one asset graph over every cloud."""

__version__ = "0.1.0"
