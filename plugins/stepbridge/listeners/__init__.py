"""Stops executions whose tasks end while neither a worker nor the triggerer has them."""
