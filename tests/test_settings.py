from pathlib import Path

import pytest
from pydantic import ValidationError

from offhook.errors import CannotStart
from offhook.settings import Settings, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "offhook.toml"


def with_file(file: Path, content: str, **environ: str) -> dict[str, str]:
    file.write_text(content)
    return {"OFFHOOK_CONFIG": str(file), **environ}


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(file: Path) -> None:
    environ = with_file(file, 'host = "file"\nport = 1\npool_size = 3', OFFHOOK_HOST="environ", OFFHOOK_PORT="2")

    settings = load({"host": "line"}, environ)

    assert (settings.host, settings.port, settings.pool_size) == ("line", 2, 3)


def test_what_the_command_line_leaves_out_stays_as_it_was(file: Path) -> None:
    assert load({"port": None}, with_file(file, "port = 9000")).port == 9000


def test_without_any_setting_the_house_listens_on_loopback_and_embeds_its_database() -> None:
    settings = load(environ={})

    assert (settings.host, settings.port, settings.database_url) == ("127.0.0.1", 8400, None)


@pytest.mark.parametrize(("misspelt", "right"), [("OFFHOOK_PROT", "port"), ("OFFHOOK_DATABSE_URL", "database_url")])
def test_a_misspelt_variable_is_an_error_that_suggests_the_right_one(misspelt: str, right: str) -> None:
    with pytest.raises(CannotStart, match=rf"{misspelt} is not a setting.*Did you mean {right}\?"):
        load(environ={misspelt: "1"})


def test_a_misspelt_name_in_the_file_is_an_error_that_suggests_the_right_one(file: Path) -> None:
    with pytest.raises(CannotStart, match=r"offhook.toml: pool_sise is not a setting.*Did you mean pool_size\?"):
        load(environ=with_file(file, "pool_sise = 3"))


def test_all_wrong_values_are_told_at_once_by_the_names_one_can_set() -> None:
    with pytest.raises(CannotStart) as refused:
        load(environ={"OFFHOOK_PORT": "70000", "OFFHOOK_LOG_LEVEL": "loud"})

    assert "OFFHOOK_PORT (or port in offhook.toml)" in refused.value.detail
    assert "OFFHOOK_LOG_LEVEL (or log_level in offhook.toml)" in refused.value.detail


def test_a_wrong_value_is_not_repeated_in_the_message() -> None:
    with pytest.raises(CannotStart) as refused:
        load(environ={"OFFHOOK_POOL_SIZE": "s3cret"})

    assert "s3cret" not in f"{refused.value!r} {refused.value.detail}"


def test_a_named_file_that_is_missing_stops_the_start(file: Path) -> None:
    with pytest.raises(CannotStart, match="no_config_file"):
        load(environ={"OFFHOOK_CONFIG": str(file)})


@pytest.mark.parametrize("content", ["port = ", "= 1", "\x00"])
def test_a_file_that_is_not_toml_stops_the_start_and_is_named(file: Path, content: str) -> None:
    with pytest.raises(CannotStart, match=str(file)):
        load(environ=with_file(file, content))


@pytest.mark.parametrize(
    ("text", "networks"),
    [("", []), ("10.0.0.0/8", ["10.0.0.0/8"]), ("10.0.0.0/8, fd00::/8,", ["10.0.0.0/8", "fd00::/8"])],
)
def test_networks_are_written_with_commas_in_the_environment(text: str, networks: list[str]) -> None:
    settings = load(environ={"OFFHOOK_WEBHOOK_ALLOW_NETWORKS": text})

    assert [str(network) for network in settings.webhook_allow_networks] == networks


def test_the_addresses_of_the_way_out_are_networks_or_single_addresses() -> None:
    settings = load(environ={"OFFHOOK_EGRESS_ADDRESSES": "198.51.100.7, 2001:db8::/48"})

    assert [str(network) for network in settings.egress_addresses] == ["198.51.100.7/32", "2001:db8::/48"]


@pytest.mark.parametrize("text", ["198.51.100.7/24", "hooks.example", "198.51.100", "2001:db8::1/48"])
def test_what_is_no_address_of_the_way_out_stops_the_start_and_is_named(text: str) -> None:
    with pytest.raises(CannotStart, match="OFFHOOK_EGRESS_ADDRESSES") as refused:
        load(environ={"OFFHOOK_EGRESS_ADDRESSES": text})

    assert text in refused.value.detail
    assert "198.51.100.7" in refused.value.detail


def test_the_key_ring_lies_in_the_data_directory_unless_it_is_kept_apart() -> None:
    assert load({"data_dir": "/data"}, {}).key_ring_file == Path("/data/keyring.json")
    assert load({"data_dir": "/data", "key_ring": "/keys/ring.json"}, {}).key_ring_file == Path("/keys/ring.json")


def test_settings_do_not_change_after_the_start() -> None:
    settings = load(environ={})

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_the_databases_password_is_not_printed() -> None:
    assert "hunter2" not in repr(load({"database_url": "postgresql://crm:hunter2@db/offhook"}, {}))


def test_every_setting_says_what_it_means() -> None:
    undescribed = [name for name, field in Settings.model_fields.items() if not field.description]

    assert undescribed == []
