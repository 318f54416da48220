"""The lab's package: one module per noun, stages are the notebooks that call it."""
