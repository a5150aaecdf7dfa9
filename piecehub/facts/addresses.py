"""Addresses of machines."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address: `localhost`, `127.0.0.0/8`, `::1`."""
    name = host.strip("[]").lower()
    if name == "localhost":  # not what ends so: a resolver may ask the network for it
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
