"""OpenVINO as a backend of bertx: it runs files that were exported."""
