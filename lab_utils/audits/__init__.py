"""Measure what else than disease a score could come from. Probes, masked images, and where the networks look."""
