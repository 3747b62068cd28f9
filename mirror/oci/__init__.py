"""The words of the OCI specifications: digests, names, media types, manifests, ranges, paths. Pure."""
