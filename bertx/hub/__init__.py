"""Where a checkpoint lies, and the download of one from the hub."""
