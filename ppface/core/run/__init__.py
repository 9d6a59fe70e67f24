"""The running process: command line, log, signals, locks and processor settings."""
