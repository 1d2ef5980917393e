"""Where a request may go: the pure half of the guard. Pure; asks no name server and opens nothing."""

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from yarl import URL

_URL_CAP, _HOST_CAP = 2_048, 253

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Reach:
    """Where requests may go: public addresses by HTTPS, and what is opened here.

    `plain_http_loopback` opens loopback, by HTTP too. `allowed_networks` opens those networks, by HTTP too when
    `plain_http`. Nothing opens the metadata services of clouds, nor an address that cannot be one machine's.
    """

    plain_http_loopback: bool
    allowed_networks: tuple[IPv4Network | IPv6Network, ...]
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class UrlFine:
    """A request may set out for this URL; its address is still to be judged. `plain`: by HTTP without TLS."""

    url: URL = field(repr=False)
    host: str
    plain: bool


@dataclass(frozen=True, slots=True)
class UrlRefused:
    """No request may set out for this URL: `code` for machines, `why` to be shown to its owner."""

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class AddressFine:
    """A connection may be made to this address."""

    address: Address


@dataclass(frozen=True, slots=True)
class AddressRefused:
    """This address is out of reach; `code` is its kind, or `plain_http` when only HTTPS may go there."""

    address: Address
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class NameUnknown:
    """The name has no address at the moment, so nothing can be said about it."""

    why: str


# Ports on which something else than HTTP listens: "bad ports" of the WHATWG Fetch standard, which browsers refuse too.
_BAD_PORTS = frozenset(
    {0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109}
    | {110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530}
    | {531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190}
    | {5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_NUMERIC_END = re.compile(r"(^|\.)([0-9]+|0x[0-9a-f]*)\.?$")
_AUTHORITY = re.compile(r"[a-z]+://([^/?#]*)", re.I)
_PORT_END = re.compile(r"[^:]*(:[0-9]*)?")
_UNICAST_6, _NAT64 = IPv6Network("2000::/3"), IPv6Network("64:ff9b::/96")
_LOCAL_NAT64, _ISATAP = IPv6Network("64:ff9b:1::/48"), (0x00005EFE, 0x02005EFE)
_IPV4_IN_THE_END = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"), _LOCAL_NAT64)
# The special-purpose registries of IANA, and the metadata services that clouds put anywhere; the first kind counts.
# Spelt out because `ipaddress.is_global` changes its mind with the Python version.
_KINDS = {
    "metadata": "169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23 169.254.42.42 100.100.100.200 168.63.129.16 192.0.0.192"
    " fd00:ec2::254 fd00:ec2::23 fd00:42::42 fd20:ce::254 fe80::a9fe:a9fe",
    "unspecified": "0.0.0.0/8 ::",
    "broadcast": "255.255.255.255",
    "multicast": "224.0.0.0/4 ff00::/8",
    "loopback": "127.0.0.0/8 ::1",
    "link_local": "169.254.0.0/16 fe80::/10",
    "private": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10",
    "shared": "100.64.0.0/10",
    "reserved": "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 2001::/23 2001:db8::/32 3fff::/20",
}
_NETWORKS = [(kind, ip_network(network)) for kind, networks in _KINDS.items() for network in networks.split()]
_NEVER = ("metadata", "unspecified", "broadcast", "multicast")


def judge_url(url: str, reach: Reach) -> UrlFine | UrlRefused:
    """Whether a request may set out for `url` at all. Pure; a name is only judged when it is looked up.

    Refused: what is no URL, another scheme, HTTP where only HTTPS may go, credentials, ports of other protocols, an
    address out of reach, and an IPv4 address in any notation but the dotted one, since parsers disagree about those.
    """
    if len(url) > _URL_CAP or not url.isprintable() or " " in url or "\\" in url:
        return UrlRefused("bad_url", f"not a URL of at most {_URL_CAP} characters without blanks")
    try:
        parsed = URL(url)
    except ValueError:
        return UrlRefused("bad_url", "not a URL")
    if parsed.scheme not in ("https", "http"):
        return UrlRefused("scheme", "the URL must begin with https://")
    if parsed.scheme == "http" and not (reach.plain_http or reach.plain_http_loopback):
        return UrlRefused("plain_http", "plain HTTP is not allowed here; use https://")
    found = _AUTHORITY.match(url)
    authority = found[1] if found else ""
    if "@" in authority:  # an empty user too, which yarl drops
        return UrlRefused("credentials", "the URL must not hold credentials; use a header")
    if not _PORT_END.fullmatch(authority.rpartition("]")[2]):  # `int` takes signs and the digits of every script
        return UrlRefused("port", "the port must be written in the digits 0 to 9")
    if "[" in authority and ":" not in (parsed.raw_host or ""):  # the address format to come of RFC 3986, `[v1.x]`
        return UrlRefused("host", "an address in brackets must be one of IPv6")
    if parsed.port in _BAD_PORTS:
        return UrlRefused("port", "this port belongs to another protocol than HTTP")
    return _judge_host(parsed, reach)


def _judge_host(url: URL, reach: Reach) -> UrlFine | UrlRefused:
    fine = UrlFine(url, url.raw_host or "", plain=url.scheme == "http")
    if not is_literal(fine.host):
        known = len(fine.host) <= _HOST_CAP and _NAME.fullmatch(fine.host)
        return fine if known else UrlRefused("host", "the URL names no host")
    try:
        address = ip_address(fine.host)
    except ValueError:
        return UrlRefused("host", "an address must be written as 198.51.100.7 or [2001:db8::7]")
    verdict = judge_address(address, reach, plain=fine.plain)
    return fine if isinstance(verdict, AddressFine) else UrlRefused(verdict.code, verdict.why)


def is_literal(host: str) -> bool:
    return ":" in host or _NUMERIC_END.search(host) is not None


def judge_address(address: Address, reach: Reach, *, plain: bool = False) -> AddressFine | AddressRefused:
    """Whether a connection may be made to `address`. Pure. An IPv4 address inside an IPv6 one is judged as itself."""
    real = _unwrapped(address)
    kind = _worse(_kind(real), [_kind(one) for one in _inside(real)])
    listed = kind not in _NEVER and any(real in network or address in network for network in reach.allowed_networks)
    if kind == "loopback" and reach.plain_http_loopback:
        return AddressFine(address)
    if kind != "public" and not listed:
        return AddressRefused(address, kind, f"the address is of the kind {kind}, and no setting opens it")
    if plain and not (listed and reach.plain_http):
        return AddressRefused(address, "plain_http", "plain HTTP may not go to this address; use https://")
    return AddressFine(address)


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that mapping, 6to4 or NAT64 would really reach, else the address as it is."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _inside(address: Address) -> list[IPv4Address]:
    """What else an IPv6 address may reach: where tunnels and a translator of one's own take an IPv4 address from it."""
    if isinstance(address, IPv4Address):
        return []
    bits = int(address)
    found = list(address.teredo or ())
    if (bits >> 32) & 0xFFFFFFFF in _ISATAP or any(address in network for network in _IPV4_IN_THE_END):
        found.append(IPv4Address(bits & 0xFFFFFFFF))
    if address in _LOCAL_NAT64:  # RFC 6052: a /48 leaves out the bits 64 to 71
        found.append(IPv4Address((bits >> 48) & 0xFFFF0000 | (bits >> 40) & 0xFFFF))
    return found


def _worse(kind: str, inside: list[str]) -> str:
    if "metadata" in inside:
        return "metadata"
    return next((one for one in inside if one != "public"), kind) if kind == "public" else kind


def _kind(address: Address) -> str:
    fallback = "public" if address.version == 4 or address in _UNICAST_6 else "reserved"
    return next((kind for kind, network in _NETWORKS if address in network), fallback)
