"""The HTTP door: thin. Reads requests strictly, asks the registry, sends bytes, says no in the caller's dialect."""
