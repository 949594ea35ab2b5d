"""Tables that compare methods, one file each."""
