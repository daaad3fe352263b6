"""One reader per family of formats, and the writer."""
