"""The pure half of the guard: what no spelling gets past."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offhook.outbound import AddressFine, Reach, UrlRefused
from offhook.outbound.reach import AddressRefused, UrlFine, judge_address, judge_url

PUBLIC = Reach(plain_http_loopback=False, allowed_networks=())
LOOPBACK = Reach(plain_http_loopback=True, allowed_networks=())
OFFICE = Reach(plain_http_loopback=False, allowed_networks=(ip_network("10.1.0.0/16"), ip_network("fd12::/32")))
EVERYTHING = Reach(True, (ip_network("0.0.0.0/0"), ip_network("::/0")), plain_http=True)

REFUSED_URLS = {
    "scheme": ["", "example.com/x", "ftp://example.com/", "file:///etc/passwd", "//127.0.0.1/"]
    + ["unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fdocker.sock/"],
    "plain_http": ["http://example.com/", "HTTP://example.com/"],
    "credentials": ["https://user:pass@example.com/", "https://:@example.com/", "https://@example.com/"]
    + ["https://foo@127.0.0.1@example.com/", "https://example.com:443@127.0.0.1/", "https://127.0.0.1%2f@a.example/"],
    "port": ["https://example.com:22/", "https://example.com:0/", "https://example.com:+443/"]
    + ["https://example.com:４４３/", "https://[2606:4700::1111]:+443/"],
    "host": ["https://", "https:///x", "https://a..b/", "https://%31%32%37.0.0.1/", f"https://{'a.' * 130}com/"]
    + [
        f"https://{'a' * 64}.example/",
        "https://[v1.x]/",
        "https:127.0.0.1/",
        "https://%2Fvar%2Frun%2Fdocker.sock/",
        "https://127.0.0.1,a.example/",
    ],
    "bad_url": ["https://a b.example/", "https://a.example/\r\nX: y", "https://a.example\\@127.0.0.1/", "https://[::1/"]
    + ["https://127.0.0.1\u00ad/", "https://127.0.0.\u200b1/", "https://[127.0.0.1]/", "https://[::1].example.com/"]
    + ["https://a.example:70000/", f"https://a.example/{'a' * 2100}"],
}
INNER_HOSTS = (
    "127.0.0.1 127.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 0177.0x0.0.01 127.0.0.1. 0 0.0.0.0 １２７.0.0.1 ①②⑦.0.0.1 "
    "[::1] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [64:ff9b::7f00:1] [2002:7f00:1::] [::127.0.0.1] [fe80::1] "
    "127。0。0。1 127．0．0．1 127｡0｡0｡1 ⑯９.254.169.254 ٣٢.1.1.1 4294967297 00000177.1 0x [::1%25lo] "
    "[::ffff:127.0.0.1%25lo] [2001:0:7f00:1::] [64:ff9b:1::7f00:1] [2606:4700::5efe:7f00:1] "
    "[fe80::1%25eth0] 169.254.169.254 [fd00:ec2::254] 0xa9fea9fe 10.0.0.1 172.31.255.255 192.168.0.1 100.64.0.1"
)
INNER_ADDRESSES = {
    "metadata": "169.254.169.254 ::ffff:169.254.169.254 fe80::a9fe:a9fe fe80::5efe:a9fe:a9fe 100.100.100.200 fd00:ec2::254",
    "loopback": "127.8.8.8 ::1",
    "private": "10.0.0.1 fc00::1 2606:4700::5efe:a00:1 2606:4700::200:5efe:a00:1 ::ffff:192.168.1.1 64:ff9b::10.0.0.1 2002:a00:1::",
    "shared": "100.127.255.255",
    "link_local": "169.254.1.1 fe80::1 fe80::1%eth0",
    "unspecified": "0.0.0.0 ::",
    "broadcast": "255.255.255.255",
    "multicast": "239.1.1.1 ff02::1",
    "reserved": "240.0.0.1 203.0.113.9 2001:db8::1 64:ff9b:1::1 ::10.0.0.1 2001:0:808:808::1 2001::1",
}


@pytest.mark.parametrize(("code", "url"), [(code, url) for code, urls in REFUSED_URLS.items() for url in urls])
def test_a_url_that_is_not_plainly_https_to_a_host_is_refused_with_its_reason(code: str, url: str) -> None:
    verdict = judge_url(url, PUBLIC)

    assert isinstance(verdict, UrlRefused)
    assert verdict.code == code


@pytest.mark.parametrize("host", INNER_HOSTS.split())
def test_no_notation_of_an_inner_address_passes(host: str) -> None:
    assert isinstance(judge_url(f"https://{host}/", PUBLIC), UrlRefused)


@pytest.mark.parametrize("place", ["example.com", "8.8.8.8:8443/x?y=z", "[2606:4700::1111]/", "bücher.example/"])
def test_https_to_a_public_place_is_fine(place: str) -> None:
    assert isinstance(judge_url(f"https://{place}", PUBLIC), UrlFine)


@pytest.mark.parametrize(
    ("code", "address"), [(code, one) for code, row in INNER_ADDRESSES.items() for one in row.split()]
)
def test_an_inner_address_is_refused_by_its_kind(code: str, address: str) -> None:
    verdict = judge_address(ip_address(address), PUBLIC)

    assert isinstance(verdict, AddressRefused)
    assert verdict.code == code


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_inside_an_ipv6_one(address: IPv4Address) -> None:
    mapped = IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)
    translated = IPv6Address(ip_address("64:ff9b::").packed[:12] + address.packed)

    verdicts = {type(judge_address(one, PUBLIC)) for one in (address, mapped, translated)}

    assert len(verdicts) == 1


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_let_through(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast:
        embedded = address.version == 6 and (address.ipv4_mapped or address.sixtofour)
        assert embedded or isinstance(judge_address(address, PUBLIC), AddressRefused)


def test_the_operator_opens_a_network_for_https_and_plain_http_only_by_its_own_setting() -> None:
    inner = ip_address("10.1.2.3")
    plain_office = Reach(plain_http_loopback=False, allowed_networks=OFFICE.allowed_networks, plain_http=True)

    assert judge_address(inner, OFFICE) == AddressFine(inner)
    assert isinstance(judge_address(inner, OFFICE, plain=True), AddressRefused)
    assert judge_address(inner, plain_office, plain=True) == AddressFine(inner)
    assert isinstance(judge_address(ip_address("10.2.0.1"), OFFICE), AddressRefused)
    assert isinstance(judge_address(ip_address("8.8.8.8"), plain_office, plain=True), AddressRefused)


METADATA = (
    "169.254.169.254 169.254.0.23 169.254.42.42 fd00:ec2::254 fd00:42::42 fe80::a9fe:a9fe fe80::a9fe:a9fe%eth0 ::a9fe:a9fe "
    "::ffff:0:a9fe:a9fe 64:ff9b:1::a9fe:a9fe 64:ff9b:1:a9fe:a9:fe00:: 2001:0:a9fe:a9fe:: 2001::5601:5601 2606:4700::5efe:a9fe:a9fe"
)


@pytest.mark.parametrize("address", METADATA.split())
def test_no_setting_opens_the_metadata_service_of_a_cloud_wrapped_or_not(address: str) -> None:
    assert judge_address(ip_address("192.168.1.1"), EVERYTHING, plain=True) == AddressFine(ip_address("192.168.1.1"))
    assert isinstance(judge_address(ip_address(address), EVERYTHING), AddressRefused)


@pytest.mark.parametrize("address", ["64:ff9b:1:a00:0:100::", "64:ff9b:1::a00:1", "fe80::1%eth0", "fd00:ec2::1"])
def test_the_operator_may_open_a_translator_of_his_own(address: str) -> None:
    assert isinstance(judge_address(ip_address(address), EVERYTHING), AddressFine)


@given(st.ip_addresses(v=4))
def test_a_tunnel_to_an_ipv4_address_is_no_way_around_its_verdict(address: IPv4Address) -> None:
    isatap = IPv6Address(ip_address("2606:4700::5efe:0:0").packed[:12] + address.packed)

    assert type(judge_address(isatap, PUBLIC)) is type(judge_address(address, PUBLIC))


def test_loopback_is_opened_by_its_own_setting_for_both_schemes_and_nothing_else_with_it() -> None:
    assert isinstance(judge_url("http://127.0.0.1:9000/", LOOPBACK), UrlFine)
    assert isinstance(judge_url("https://[::1]:9000/", LOOPBACK), UrlFine)
    assert isinstance(judge_url("http://10.0.0.1/", LOOPBACK), UrlRefused)
    assert isinstance(judge_url("http://8.8.8.8/", LOOPBACK), UrlRefused)
