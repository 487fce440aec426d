"""The only doors outside: git, object stores, images, mail. Nothing above them knows a client library."""
