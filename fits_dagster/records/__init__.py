"""The archive's tables, and the questions that are asked of them."""
