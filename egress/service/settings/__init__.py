"""The settings of the whole configuration file, and checks across its tables."""
