"""The edge of the venue: bus, journal, credentials, embedded server, metrics, logging."""
