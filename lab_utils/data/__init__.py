"""Bring a data set in, check it, split it, and keep its images as one array. Nothing here knows about models."""
