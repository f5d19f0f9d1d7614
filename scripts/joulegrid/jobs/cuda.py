"""UUIDs of the boards that CUDA shows this process, in its order, asked of the driver itself.

Run by itself, by `devices.cuda_uuids`: a process that has used CUDA may not fork any more.
"""

import ctypes
import uuid


def main() -> None:
    """Print them; nothing without a driver that answers. A part of a board (MIG) is said as its
    board: that is what the first version of the question gives.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return
    count, device, found = ctypes.c_int(), ctypes.c_int(), (ctypes.c_ubyte * 16)()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return
    for number in range(count.value):
        if driver.cuDeviceGet(ctypes.byref(device), number):
            continue
        if driver.cuDeviceGetUuid(ctypes.byref(found), device) == 0:
            print(f"GPU-{uuid.UUID(bytes=bytes(found))}")


if __name__ == "__main__":
    main()
