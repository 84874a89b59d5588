"""Defines causes by which several sources may fail alike, so that each is told once."""

from stemsplit.errors import WeightsError

LOGIN = "open a page in a browser and log in, then try again"
"""Remedy for a network that shows everybody a login page first."""


class SettingError(WeightsError):
    """A setting of this machine or its network keeps every source from being reached, whichever it is."""


class PortalError(WeightsError):
    """A server answers with something other than what was asked for, as a network does that asks for a login.

    Args:
        host: name of the host.
        message: message for the case that no other source fails in this way.
    """

    def __init__(self, host: str, message: str) -> None:
        self.host = host
        super().__init__(message)


class UnreachableError(WeightsError):
    """No connection to a host could be made.

    Args:
        host: name of the host.
        reason: the system's explanation; empty if there is none.
    """

    def __init__(self, host: str, reason: str) -> None:
        self.host, self.reason = host, reason
        super().__init__(f"{host} cannot be reached{f' ({reason})' if reason else ''}; check the connection")
