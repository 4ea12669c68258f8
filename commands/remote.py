"""Sets DVC's default remote: `make remote URL=s3://bucket/path [ENDPOINT=https://…]`.

Any URL that DVC supports works: s3, gs, azure, ssh, a folder.
"""

from executors.tracking import remote
from stages.lib.errors import BadInput


def main(arguments: list[str]) -> None:
    """Test the remote that `arguments` name and make it the default. Raises `BadInput` if it does not work."""
    if not 1 <= len(arguments) <= 2:
        raise BadInput(
            "give the remote's URL: make remote URL=s3://bucket/path (also gs://, azure://, ssh://, a folder)"
        )
    remote.set_default(*arguments)
