"""A change of a header from the request to its history: asked for, applied, sent on."""
