"""The protocols of the gRPC port as .proto files, and `descriptors.binpb`, which tools/make-protos makes of them."""
