"""Models as artefacts that run without bertx: their formats, and the check of each in its own runtime."""
