"""`stemsplit list`."""


def list_() -> None:
    """List the models there are."""
    from stemsplit import console, registry

    console.models_table(registry.entries().values())
