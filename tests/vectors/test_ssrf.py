"""Where requests may go: the hub lets through what the vectors allow, and refuses the rest by the code they name."""

from ipaddress import ip_address, ip_network

from tests.vectors.cases import Case, every, read

from offhook.outbound import AddressFine, Reach
from offhook.outbound.reach import AddressRefused, UrlFine, UrlRefused, judge_address, judge_url

REACHES = {
    name: Reach(
        told["plain_http_loopback"],
        tuple(ip_network(network) for network in told["allowed_networks"]),
        told["plain_http"],
    )
    for name, told in read("ssrf.json")["reaches"].items()
}


def spelt(verdict: UrlFine | UrlRefused | AddressFine | AddressRefused, expected: str) -> str:
    if isinstance(verdict, UrlFine | AddressFine):
        return "allowed"
    return "refused" if expected == "refused" else verdict.code


@every("ssrf.json", "urls")
def test_the_hub_judges_a_url_as_the_vectors_say(case: Case) -> None:
    assert spelt(judge_url(case["url"], REACHES[case["reach"]]), case["verdict"]) == case["verdict"]


@every("ssrf.json", "addresses")
def test_the_hub_judges_an_address_as_the_vectors_say(case: Case) -> None:
    verdict = judge_address(ip_address(case["address"]), REACHES[case["reach"]], plain=case["plain"])

    assert spelt(verdict, case["verdict"]) == case["verdict"]
