"""What stands against serving on this machine, and what to do about it: `gateway doctor`."""
