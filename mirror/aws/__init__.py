"""The words of AWS: names of resources and principals, and what its APIs say when they say no. Pure."""
