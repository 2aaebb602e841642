"""Maps from margins to probabilities, for `gateway calibrate`. Pure."""
