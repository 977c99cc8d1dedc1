"""net: the sockets. Everything here performs what the core orders and tells it what happened; nothing here decides."""
