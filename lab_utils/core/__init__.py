"""Say what an experiment is, where its files lie, and how they are written whole. Nothing here knows about images."""
