"""Makes the data, runs the systems, compares their outputs and reports."""
