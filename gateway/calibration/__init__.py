"""From margins to probabilities that mean what they say: `gateway calibrate`. Pure."""
