"""Run stage notebooks, decide what is stale, and say on the terminal how it goes. Used by the Snakefile."""
