"""Every setting, once: its meaning, unit and default.

Read from `offhook.toml` (or the file that OFFHOOK_CONFIG names), then from OFFHOOK_* variables, then from the command
line; the later wins. A misspelt setting is an error that suggests the right one, never silence.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from offhook.errors import CannotStart

PREFIX = "OFFHOOK_"
_NOT_SETTINGS = {"OFFHOOK_CONFIG", "OFFHOOK_TEST_DATABASE_URL", "OFFHOOK_API_KEY"}
_LISTS = {"webhook_allow_networks", "egress_addresses", "nats_servers", "file_dirs", "s3_endpoints", "destinations"}


class Settings(BaseModel):
    """The installation's settings, frozen at start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str | None = Field(
        None, description="A PostgreSQL 15 or newer of your own; without it one is embedded.", repr=False
    )
    data_dir: Path = Field(Path(".data"), description="Holds the embedded database, the key ring and credentials.json.")
    key_ring: Path | None = Field(
        None,
        description="The key ring file; DATA_DIR/keyring.json when unset. Never inside the database's directory or its backups.",
    )
    host: str = Field("127.0.0.1", description="The address the API listens on.")
    port: int = Field(8400, ge=0, le=65535, description="The port the API listens on.")
    public_url: str | None = Field(
        None, description="The URL under which platforms reach this installation, for callbacks and their signatures."
    )
    pool_size: int = Field(8, ge=2, le=100, description="Database connections of one process for requests and jobs.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The lowest level that is logged."
    )
    log_format: Literal["text", "json"] = Field("text", description="Lines for people or for machines.")
    max_body_bytes: int = Field(8 * 2**20, ge=1024, description="The largest request body; an import may be larger.")
    max_import_bytes: int = Field(512 * 2**20, ge=1024, description="The largest file for POST /v1/leads/import.")
    webhook_allow_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="Private networks that webhook endpoints may be in."
    )
    webhook_allow_http: bool = Field(False, description="Whether endpoints in those networks may use plain HTTP.")
    webhook_in_flight: int = Field(
        64, ge=1, le=1024, description="Requests under way at once to webhook endpoints, per process."
    )
    egress_addresses: tuple[IPv4Network | IPv6Network, ...] = Field(
        (),
        description="The addresses that webhooks come from, as receivers may open them in their firewalls; GET /v1/egress shows them.",
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]",
        description="Where an OpenTelemetry collector takes OTLP over HTTP, like http://localhost:4318; needs offhook[otel].",
    )

    @field_validator("egress_addresses", mode="before")
    @classmethod
    def _must_be_networks(cls, addresses: Any) -> Any:
        for one in addresses if isinstance(addresses, list | tuple) else [addresses]:
            try:
                ip_network(str(one))
            except ValueError:
                raise ValueError(
                    f"{one!r} is neither an address like 198.51.100.7 nor a network like 2001:db8::/48 without host bits"
                ) from None
        return addresses

    nats_servers: tuple[Annotated[str, Field(pattern=r"^[^\s:/@]+:[0-9]{1,5}$")], ...] = Field(
        (), description="The NATS servers that endpoints may name, each as host:port; without them none may."
    )
    file_dirs: tuple[Path, ...] = Field(
        (), description="The directories that endpoints may have files written in; without them none may."
    )
    s3_endpoints: tuple[Annotated[str, Field(pattern=r"^https?://[^\s/@?#]+$")], ...] = Field(
        (),
        description="Object stores that endpoints may name beside AWS, each like https://minio.example.com:9000.",
    )
    destinations: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")], ...] = Field(
        (), description="Python modules with further kinds of destinations, see docs/guide-destinations.md."
    )

    @field_validator("file_dirs")
    @classmethod
    def _must_be_absolute(cls, directories: tuple[Path, ...]) -> tuple[Path, ...]:
        if not all(one.is_absolute() and ".." not in one.parts for one in directories):
            raise ValueError("each must be an absolute path without `..`, like /srv/warehouse")
        return directories

    smtp_url: str | None = Field(
        None,
        repr=False,
        pattern=r"^smtps?://",
        description="The mail server for alerts, like smtps://user:password@mail.example.com:465; without it none goes by e-mail.",
    )
    smtp_from: str = Field("offhook@localhost", description="The sender's address of alerts by e-mail.")

    @property
    def key_ring_file(self) -> Path:
        return self.key_ring or self.data_dir / "keyring.json"


def load(overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings as file, environment and command line give them. Raises CannotStart naming what is wrong and where."""
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {**_from_file(env), **_from_environment(env)}
    values.update({name: value for name, value in (overrides or {}).items() if value is not None})
    try:
        return Settings(**values)
    except ValidationError as wrong:
        raise CannotStart(
            "bad_setting", "; ".join(_tell(fault["loc"][0], fault["msg"]) for fault in wrong.errors())
        ) from None


def _from_file(env: Mapping[str, str]) -> dict[str, Any]:
    path = Path(env.get("OFFHOOK_CONFIG", "offhook.toml"))
    if not path.exists():
        if "OFFHOOK_CONFIG" in env:
            raise CannotStart("no_config_file", f"OFFHOOK_CONFIG names {path}, which does not exist.")
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as wrong:
        raise CannotStart("bad_config_file", f"{path} cannot be read as TOML: {wrong}") from None
    for name in found:
        _must_exist(name, f"{path}: {name}")
    return found


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in env.items():
        if not variable.startswith(PREFIX) or variable in _NOT_SETTINGS:
            continue
        name = variable.removeprefix(PREFIX).lower()
        _must_exist(name, variable)
        values[name] = [part.strip() for part in text.split(",") if part.strip()] if name in _LISTS else text
    return values


def _must_exist(name: str, where: str) -> None:
    if name in Settings.model_fields:
        return
    near = difflib.get_close_matches(name, Settings.model_fields, n=1)
    hint = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(Settings.model_fields)}."
    raise CannotStart("unknown_setting", f"{where} is not a setting of Offhook.{hint}")


def _tell(name: object, message: str) -> str:
    return f"{PREFIX}{str(name).upper()} (or {name} in offhook.toml): {message}"
