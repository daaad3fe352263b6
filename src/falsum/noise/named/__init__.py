"""Named noises: each is a composition that has a name in the field."""
