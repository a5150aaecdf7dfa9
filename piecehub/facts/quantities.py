"""Sizes and times for people: `1.2 GB`, `1 min 20 s`."""


def size(size_bytes: float) -> str:
    """`517 bytes`, `12 kB`, `1.2 GB`."""
    if size_bytes < 1000:
        return f"{size_bytes:.0f} bytes"
    value = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5 or unit == "GB":
            break
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def cpu_hours(seconds: float) -> str:
    """`0.0132 CPU-hours`, of seconds of processors; of few `3.2 CPU-seconds`."""
    if seconds < 36:
        return f"{seconds:.1f} CPU-seconds"
    return f"{seconds / 3600:.3g} CPU-hours"


def duration(seconds: float) -> str:
    """`48 s`, `1 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
