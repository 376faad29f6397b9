"""waitress: sockets, connections and the bytes of requests."""
