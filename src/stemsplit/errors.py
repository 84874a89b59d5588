"""Defines the errors that the command line catches and shows in one line."""


class StemsplitError(Exception):
    """The base of all errors, with a message for users."""


class RegistryError(StemsplitError):
    """models.toml is malformed, or has no model of that name."""


class WeightsError(StemsplitError):
    """A checkpoint could not be fetched, verified, read or fitted to its model."""


class AudioError(StemsplitError):
    """A file could not be read or written."""


class PlaceError(AudioError):
    """A file could not be read or written because of its place or what lies there, not because of what it holds."""


class DeviceError(StemsplitError):
    """The device is missing, or ran out of memory."""


class LibraryError(StemsplitError):
    """A library that stemsplit needs is missing, or does not load."""
