"""Ray shells round the library: thin, and the only place beside serve_app that imports Ray."""
