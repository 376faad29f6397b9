"""How the service is run: here on one machine; nothing in this package is part of the distribution."""
