"""The stages of the dataflow: plain functions over batches of files, without Dagster."""
