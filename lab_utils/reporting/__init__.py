"""Draw figures, set tables and text, and export the report. Every figure and table brings its caption and label."""
