"""What this process and its tensors hold of memory."""

import ctypes
import re

import tensorflow as tf

_LIBRARY = ctypes.CDLL(None)
_SIZE = re.compile(rb'<(?:total|system) type="(\w+)"(?: count="\d+")? size="(\d+)"')


def can_be_told() -> bool:
    """Whether the C library tells what is allocated; glibc does."""
    return hasattr(_LIBRARY, "malloc_info")


def allocated_bytes() -> int:
    """What is allocated, by all threads: resident memory also grows while a process warms up.

    mallinfo(3), which is easier to read, knows nothing of what any but the main thread allocates, and TensorFlow's
    kernels run in others.
    """
    sums = _malloc_info().rpartition(b"</heap>")[2]  # behind the parts that threads have stands what all have together
    sizes = {name: int(size) for name, size in _SIZE.findall(sums)}
    return sizes[b"current"] - sizes[b"fast"] - sizes[b"rest"] + sizes[b"mmap"]


def tensor_bytes() -> int:
    """What tensors take; 0 where nobody can tell.

    With oneDNN, TensorFlow's allocator for the CPU keeps what was freed for the next tensor, and counts by itself.
    """
    try:
        return int(tf.config.experimental.get_memory_info("CPU:0")["current"])
    except ValueError:  # else they lie in the heap
        return allocated_bytes() if can_be_told() else 0


def _malloc_info() -> bytes:
    """The XML that malloc_info(3) writes."""
    text, size = ctypes.c_void_p(), ctypes.c_size_t()
    _LIBRARY.open_memstream.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(_LIBRARY.open_memstream(ctypes.byref(text), ctypes.byref(size)))
    _LIBRARY.malloc_info(0, stream)
    _LIBRARY.fclose(stream)
    try:
        return ctypes.string_at(text.value or 0, size.value)
    finally:
        _LIBRARY.free(text)
