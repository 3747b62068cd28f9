"""What is wrong with a policy, and where. Pure."""


class PolicyInvalid(ValueError):
    """A policy breaks the grammar. `path` is the place, `Statement[0].Action[1]`; "" is the document itself."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path
