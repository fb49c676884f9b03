"""The stages of the dataflow, one module each, and their registry."""
