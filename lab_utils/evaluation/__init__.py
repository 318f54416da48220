"""Turn tables of predicted probabilities into scores with intervals and tests. Nothing here knows about networks."""
