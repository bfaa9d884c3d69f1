"""The status listener: health, and the metrics that are read at each scrape."""
