open_backend = None
