"""The ledger of work items: what is due, in hand or failed, and the loop that works through it."""
