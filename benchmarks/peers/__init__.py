"""Other implementations of the same network, timed where they are installed."""
