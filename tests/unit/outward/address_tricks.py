"""URLs that lead, or seem to lead, to addresses that are forbidden, in every form that we know of."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

FOURS = (
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.5", "172.16.0.1", "172.31.255.254", "192.168.1.1",
    "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.0.8",
    "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255", "168.63.129.16",
)  # fmt: skip
SIXES = (
    "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "fd12:3456::1", "ff02::1", "ff05::2",
    "2001:db8::1", "3fff::1", "100::1", "5f00::1", "64:ff9b:1::a00:5", "2001:0:7f00:1::1", "4000::1", "::2",
)  # fmt: skip
# Digits and dots of other scripts, which readers of URLs may take for ours.
FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９．")
CIRCLED = str.maketrans("123456789", "①②③④⑤⑥⑦⑧⑨")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
BOLD = str.maketrans("0123456789", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗")


def sixes_of(four: str) -> Iterator[str]:
    """Yield the IPv6 addresses that carry an IPv4 address."""
    number = int(IPv4Address(four))
    yield str(IPv6Address(0xFFFF << 32 | number))
    yield f"::ffff:{four}"
    yield f"0:0:0:0:0:ffff:{four}"
    yield str(IPv6Address(number))
    yield str(IPv6Address(0x0064_FF9B << 96 | number))
    yield f"64:ff9b::{four}"
    yield str(IPv6Address(0x0064_FF9B_0001 << 80 | number))
    yield str(IPv6Address(0x2002 << 112 | number << 80 | 1))
    yield str(IPv6Address(0x2001_0000 << 96 | int(IPv4Address("8.8.8.8")) << 64 | (~number & 0xFFFF_FFFF)))
    yield str(IPv6Address(0x2001_0000 << 96 | number << 64 | (~int(IPv4Address("8.8.8.8")) & 0xFFFF_FFFF)))
    yield str(IPv6Address(0x2600_0000_0000_0001 << 64 | 0x0000_5EFE << 32 | number))
    yield str(IPv6Address(0x2600_0000_0000_0001 << 64 | 0x0200_5EFE << 32 | number))


def hosts_of(four: str) -> Iterator[str]:
    """Yield spellings of an IPv4 address as a host."""
    parts = [int(part) for part in four.split(".")]
    number = int(IPv4Address(four))
    yield four
    yield four + "."
    yield str(number)
    yield hex(number)
    yield f"0{number:o}"
    yield ".".join(f"0{part:o}" for part in parts)
    yield ".".join(f"{part:03d}" for part in parts)
    yield ".".join(hex(part) for part in parts)
    yield f"{parts[0]}.{parts[1]}.{parts[2] << 8 | parts[3]}"
    yield f"{parts[0]}.{number & 0xFF_FFFF}"
    yield str(number + (1 << 32))
    yield "".join(f"%{ord(each):02x}" for each in four)
    yield four.replace(".", "%2e")
    yield four.replace(".", "。")
    for digits in (FULL_WIDTH, CIRCLED, ARABIC, BOLD):
        yield four.translate(digits)
    yield four[0] + "\u00ad" + four[1:]
    yield four[0] + "\u200b" + four[1:]
    yield f"{four}%00.example.com"
    yield f"{four}%25eth0"


def urls(port: int) -> Iterator[str]:
    """Yield all of them, for one port."""
    for four in FOURS:
        for host in hosts_of(four):
            yield f"http://{host}:{port}/"
        for six in sixes_of(four):
            yield f"http://[{six}]:{port}/"
        yield f"https://{four}:{port}/"
    for six in SIXES:
        exploded = IPv6Address(six).exploded
        for host in (six, six.upper(), exploded, f"{six}%eth0", f"{six}%25eth0", f"{six}%lo"):
            yield f"http://[{host}]:{port}/"
        yield f"http://{six}:{port}/"
    yield from _readers_differ(port)


def _readers_differ(port: int) -> Iterator[str]:
    """Yield URLs of which one reader takes one part for the host, and another one another part."""
    here = f"127.0.0.1:{port}"
    for good in ("example.com", "93.184.215.14"):
        yield from (
            f"http://{good}@{here}/", f"http://{good}:80@{here}/", f"http://{here}@{good}/",
            f"http://{good}#@{here}/", f"http://{good}\\@{here}/", f"http://{here}\\@{good}/",
            f"http://{good}%40{here}/", f"http://{here}%2f@{good}/", f"http://{here} .{good}/",
            f"http://{here}\t.{good}/", f"http://{good}\r\nHost: {here}/", f"http://{good}:80:{port}/",
            f"http:/{here}/", f"http:{here}/", f"http:///{here}/", f"http:////{here}/", f"//{here}/",
            f"http:\\\\{here}\\", f"\thttp://{here}/", f" http://{here}/", f"http://{here}\x00.{good}/",
            f"http://[{here}]/", f"http://[::1]{good}:{port}/", f"http://[::1]:{port}:80/",
            f"http://[::1/{good}",
            f"http://{here};{good}/", f"http://{here},{good}/", f"http://{good}:{port}@{here}:{port}@{good}/",
        )  # fmt: skip
    for scheme in (
        "ftp",
        "file",
        "gopher",
        "ws",
        "jar",
        "dict",
        "httpx",
        "unix",
        "data",
        "javascript",
        "http+unix",
    ):
        yield f"{scheme}://{here}/"
    for name in (
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "LocalHost",
        "ｌocalhost",
        "localhoſt",
    ):
        yield f"http://{name}:{port}/"
    for bad in ("0", "65536", "-1", "1e3", "٨٠", "99999", "", "80a"):
        yield f"http://127.0.0.1:{bad}/"
