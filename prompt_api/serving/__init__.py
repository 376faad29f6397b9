"""The waitress server: sockets, connections and reading requests."""
