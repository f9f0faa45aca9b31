"""What the server says, as plain values: no protobuf beyond this package."""
