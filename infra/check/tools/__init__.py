"""One module for each checker of other origin: `findings(variant)` gives what it says of a variant."""
