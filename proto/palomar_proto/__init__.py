"""The gRPC contract of palomar: .proto files and the stubs generated from them."""
