"""NVML where there is none."""


class SilentNvml:
    """A library whose boards answer no question; those of a test answer what they define."""

    NVMLError = RuntimeError

    def __getattr__(self, name):
        def unsupported(*_):
            raise RuntimeError("Not Supported")

        return unsupported
