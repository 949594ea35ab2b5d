"""Tables that compare with the paper, one file each."""
