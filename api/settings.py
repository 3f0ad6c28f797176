"""What can be set from outside, and the only place that reads the environment.

Each setting is an environment variable: `LCLEDGER_` and its name in capitals. A secret can instead be a file, either named by
the setting of its name with `_file`, or under the variable's name (in any case) in the folder `LCLEDGER_SECRETS_DIR`.
"""

import base64
import binascii
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from ledger import durable_file
from ledger.notes import COSIGNATURE, Verifier

PREFIX: Final = "LCLEDGER_"
KEY_BYTES: Final = 32
"""The length of the vault's key (AES-256), and of the signing key (Ed25519)."""
VAULT_KEY_FILE: Final = "vault.key"
SIGNING_KEY_FILE: Final = "signing.key"
_WITNESS_WORDS: Final = 2
_MIB: Final = 1024 * 1024
_PORTS: Final = range(1, 65_536)
_PAUSES_MOST: Final = 50
_PAUSE_MOST_S: Final = 30 * 86_400
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_ADDRESS: Final = re.compile(r"https?://[!-\"$-~]{1,500}", re.ASCII)


class NotSetUp(Exception):
    """The settings do not say what is needed to start."""


class VaultKeyIsMissing(NotSetUp):
    """There is a ledger but no key of its vault. Put the key file back: under another key nothing in the vault can be read."""

    def __init__(self, wanted: Path) -> None:
        super().__init__(f"{self.__doc__} (wanted: {wanted})")


class SigningKeyIsMissing(NotSetUp):
    """Checkpoints were signed, but the key is not there. Put it back, or introduce a new one by `lcledger log rotate-key`."""

    def __init__(self, wanted: Path) -> None:
        super().__init__(f"{self.__doc__} (wanted: {wanted})")


@dataclass(frozen=True, slots=True)
class KnownWitness:
    """A witness whom we ask to cosign: its key, and the address before `/add-checkpoint`."""

    verifier: Verifier
    address: str


LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"],
    BeforeValidator(lambda level: level.lower() if isinstance(level, str) else level),
]


class Settings(BaseSettings):
    """How this process runs. Nothing here says what an award is worth: that is in its terms."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(
        Path("lcledger-data"),
        description="Folder of the SQLite files and of the keys made on the first start. Created if missing.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL, as `postgresql+psycopg://user@host:5432/name`; several hosts as `?host=a:5432&host=b:5432`."
        " Not set: SQLite in `data_dir`.",
    )
    database_password: SecretStr | None = Field(None, description="PostgreSQL's password, where the URL does not hold it.")
    database_password_file: Path | None = Field(None, description="File that holds PostgreSQL's password.")
    vault_key: SecretStr | None = Field(
        None,
        description="Key of the vault: 32 random bytes in base64. Not set, with SQLite: made on the first start, `vault.key` in"
        " `data_dir`. Whoever loses it loses what the vault holds.",
    )
    vault_key_file: Path | None = Field(None, description="File that holds the vault's key.")
    signing_key: SecretStr | None = Field(
        None,
        description="Key that signs checkpoints of the log: 32 random bytes in base64. Not set, with SQLite: made on the first"
        " start, `signing.key` in `data_dir`; with PostgreSQL: nothing is signed.",
    )
    signing_key_file: Path | None = Field(None, description="File that holds the signing key.")
    key: SecretStr | None = Field(
        None, description="Your own key, on the command line. Not set: that of the first administrator in `data_dir`."
    )
    secrets_dir: Path | None = Field(
        None, description="Folder with a file for each secret, named as its variable, such as `lcledger_vault_key`."
    )
    oidc_issuer: str | None = Field(
        None,
        description="Identity provider (OpenID Connect) whose signed tokens are taken, as they name it in `iss`. Not set: none.",
    )
    oidc_audience: str | None = Field(None, description="What tokens must name in `aud`: this service, as the provider knows it.")
    oidc_jwks_url: str | None = Field(
        None, description="Where the provider publishes its keys. Not set: found through its `/.well-known/openid-configuration`."
    )
    head_file: Path | None = Field(
        None,
        description="File to which `serve` publishes the log's last head, and against which it starts: better on another disk"
        " than the database's. Not set: `published-head.json` in `data_dir`.",
    )
    log_name: str = Field(
        "life-chances-ledger",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$",
        description="What the origin of checkpoints begins with, best an address of yours without `https://`; it ends in digits"
        " of the log's own. Witnesses know the log by it, so keep it.",
    )
    checkpoint_every_s: float = Field(
        60.0, gt=0, le=86_400, description="Time, in seconds, after which `serve` signs a checkpoint if the log has grown."
    )
    views_check_entries_per_s: float = Field(
        200.0,
        ge=0,
        le=1_000_000,
        description="Entries a second, at most, by which `serve` compares the read models with the log while it runs; 0: none.",
    )
    views_check_every_s: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="Time, in seconds, after which it compares them anew; or as soon as it has done so once.",
    )
    witnesses: str = Field(
        "",
        description="Witnesses that cosign checkpoints: `<verifier key> <address>`, several after commas. Not set: none.",
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    log_level: LogLevel = Field("info", description="Least severe level that is logged: `debug`, `info`, `warning` or `error`.")
    log_format: Literal["console", "json"] = Field(
        "console", description="`console` for people, `json` (one object a line) for machines."
    )
    page_size_most: int = Field(500, ge=1, le=10_000, description="Most entries of a list in one answer.")
    body_bytes_most: int = Field(8 * _MIB, ge=64 * 1024, le=64 * _MIB, description="Largest request body, in bytes.")
    bodies_bytes_most: int = Field(
        256 * _MIB,
        ge=64 * _MIB,
        le=64 * 1024 * _MIB,
        description="Most bytes of request bodies that a process holds at once; then 503.",
    )
    head_timeout_s: float = Field(
        10.0, gt=0, le=600, description="Time, in seconds, that the headers of a request may take; then 408."
    )
    body_timeout_s: float = Field(60.0, gt=0, le=3_600, description="Time, in seconds, that a body may take; then 408.")
    answer_timeout_s: float = Field(
        60.0, gt=0, le=3_600, description="Time, in seconds, that a client may take over an answer that waits for it."
    )
    connections_most: int = Field(
        512, ge=1, le=100_000, description="Most connections of a process; further ones get 503. Each needs a file descriptor."
    )
    queue_most: int = Field(
        1_000, ge=1, le=100_000, description="Most commands of a process that wait to be written; further ones get 503."
    )
    commands_per_person_most: int = Field(
        256, ge=1, le=100_000, description="Most commands of one person that wait to be written; further ones get 429."
    )
    min_position_wait_s: float = Field(
        5.0, ge=0, le=60, description="Longest wait, in seconds, of a read for the position that it asks for."
    )
    feed_wait_s: float = Field(
        30.0,
        ge=0,
        le=3_600,
        description="Longest wait, in seconds, of a question to the feed, and how long one of its streams lasts.",
    )
    webhooks_most: int = Field(
        50, ge=1, le=10_000, description="Most webhooks of a party, those that were removed aside; then no more are registered."
    )
    webhook_ports: str = Field("443", description="Ports to which webhooks may go, several after commas.")
    webhook_networks: str = Field(
        "",
        description="Private or special networks to which webhooks may go all the same, as `10.7.0.0/16`, several after commas.",
    )
    webhook_loopback: bool = Field(
        default=False, description="Whether webhooks may go to this machine, by plain http and on any port: for development only."
    )
    webhook_pauses_s: str = Field(
        "5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400",
        description="Pauses, in seconds, after each time that a webhook was not taken; after the last time it is parked.",
    )
    webhook_jitter: float = Field(
        0.1, ge=0, le=0.5, description="By how much of itself such a pause is longer or shorter, at random."
    )
    webhook_retry_after_most_s: float = Field(
        86_400.0, ge=0, le=604_800, description="Longest pause, in seconds, that whoever is told may ask for by `Retry-After`."
    )
    webhook_failing_days: float = Field(
        5.0, gt=0, le=365, description="For how many days a webhook may take nothing before it is disabled."
    )
    webhook_connect_timeout_s: float = Field(
        5.0, gt=0, le=60, description="Time, in seconds, that a connection to a webhook may take."
    )
    webhook_timeout_s: float = Field(15.0, gt=0, le=120, description="Time, in seconds, that a webhook may take in all.")
    webhook_connections_most: int = Field(8, ge=1, le=100, description="Most notices that are on their way to a webhook at once.")
    deliveries_kept_days: int = Field(
        2_192,
        ge=30,
        le=36_500,
        description="For how many days it is kept what webhooks have taken; what waits or is parked stays until it is taken.",
    )
    disclosures_kept_days: int = Field(
        2_192, ge=30, le=36_500, description="For how many days it is kept who read or exported what."
    )
    disclosures_waiting_most: int = Field(
        20_000,
        ge=100,
        le=1_000_000,
        description="Most reads of a process that wait to be written down as told; then reads get 503, commands go on.",
    )
    shutdown_grace_s: float = Field(
        30.0, ge=0, le=600, description="Time, in seconds, that accepted requests have to finish when the service is stopped."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, given: Any) -> Any:
        """Take each secret whose file is named from that file."""
        if not isinstance(given, dict):
            return given
        taken = dict(given)
        for secret in ("database_password", "vault_key", "signing_key"):
            file = given.get(f"{secret}_file")
            if file is None:
                continue
            if given.get(secret) is not None:
                raise ValueError(f"{secret} and {secret}_file are both set: keep one")
            taken[secret] = _read_secret(Path(file))
        return taken

    @model_validator(mode="after")
    def _check_database(self) -> Self:
        if self.database_url is None:
            return self
        parts = urlsplit(self.database_url.get_secret_value())
        if parts.scheme not in {"postgresql", "postgresql+psycopg"}:
            raise ValueError("database_url must begin with postgresql+psycopg:// (for SQLite set data_dir only)")
        if parts.password and self.database_password is not None:
            raise ValueError("database_url and database_password both hold a password: keep one")
        return self

    @model_validator(mode="after")
    def _check_issuer(self) -> Self:
        for name, address in (("oidc_issuer", self.oidc_issuer), ("oidc_jwks_url", self.oidc_jwks_url)):
            if address is not None and not private_address(address):
                raise ValueError(f"{name} must be an https address (http on the loopback only), without account or fragment")
        if (self.oidc_issuer is None) != (self.oidc_audience is None):
            raise ValueError("oidc_issuer and oidc_audience are set together or not at all")
        if self.oidc_jwks_url is not None and self.oidc_issuer is None:
            raise ValueError("oidc_jwks_url says nothing without oidc_issuer")
        return self

    @model_validator(mode="after")
    def _check_witnesses(self) -> Self:
        try:
            known = self.known_witnesses
        except ValueError as wrong:
            raise ValueError(f"witnesses: {wrong}") from None
        if not all(private_address(each.address) and each.verifier.kind == COSIGNATURE for each in known):
            raise ValueError("witnesses must each be a cosigning key and an https address (http on the loopback only)")
        return self

    @model_validator(mode="after")
    def _check_webhooks(self) -> Self:
        try:
            ports = self.webhook_ports_taken
        except ValueError:
            ports = frozenset[int]()
        if not ports or not all(port in _PORTS for port in ports):
            raise ValueError("webhook_ports must be numbers from 1 to 65535, with commas between them")
        try:
            _ = self.webhook_networks_taken
        except ValueError as wrong:
            raise ValueError(f"webhook_networks: {wrong}") from None
        return self

    @property
    def webhook_ports_taken(self) -> frozenset[int]:
        """The ports to which webhooks may go."""
        return frozenset(map(int, self.webhook_ports.split(",")))

    @property
    def webhook_networks_taken(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The special networks to which webhooks may go."""
        return tuple(ip_network(each.strip()) for each in self.webhook_networks.split(",") if each.strip())

    @model_validator(mode="after")
    def _check_pauses(self) -> Self:
        try:
            pauses = self.webhook_pauses_taken_s
        except ValueError:
            pauses = (-1.0,)
        if len(pauses) > _PAUSES_MOST or not all(0 <= pause <= _PAUSE_MOST_S for pause in pauses):
            raise ValueError(f"webhook_pauses_s must be at most {_PAUSES_MOST} numbers of seconds, with commas between them")
        return self

    @property
    def webhook_pauses_taken_s(self) -> tuple[float, ...]:
        """The pauses between the times that a webhook is tried, in seconds."""
        return tuple(float(each) for each in self.webhook_pauses_s.split(",") if each.strip())

    @property
    def known_witnesses(self) -> tuple[KnownWitness, ...]:
        """The witnesses of checkpoints."""
        told = [each.split() for each in self.witnesses.split(",") if each.strip()]
        if any(len(each) != _WITNESS_WORDS for each in told):
            raise ValueError("each is a verifier key, a blank, and an address")
        return tuple(KnownWitness(Verifier.read(vkey), address) for vkey, address in told)

    @property
    def embedded(self) -> bool:
        """Whether the ledger lives in SQLite files in `data_dir`."""
        return self.database_url is None

    @property
    def log_url(self) -> str:
        """Where the log and the vault are, for SQLAlchemy, with the password."""
        return self._postgresql() or _sqlite(self.log_file)

    @property
    def views_url(self) -> str:
        """Where the read models are, for SQLAlchemy, with the password: another SQLite file, or the same PostgreSQL."""
        return self._postgresql() or _sqlite(self.data_dir / "views.sqlite3")

    @property
    def log_file(self) -> Path:
        """The SQLite file of the log and the vault."""
        return self.data_dir / "ledger.sqlite3"

    @property
    def published_head_file(self) -> Path:
        """The file to which the last head of the log is published."""
        return self.head_file or self.data_dir / "published-head.json"

    def _postgresql(self) -> str | None:
        if self.database_url is None:
            return None
        parts = urlsplit(self.database_url.get_secret_value())
        account, at, hosts = parts.netloc.rpartition("@")
        if self.database_password is not None:
            account, at = f"{account}:{quote(self.database_password.get_secret_value(), safe='')}", "@"
        return urlunsplit(parts._replace(scheme="postgresql+psycopg", netloc=f"{account}{at}{hosts}"))


def settings(**given: Any) -> Settings:
    """The settings of the environment and of secret files; those given by name win. Raises `NotSetUp` with every fault."""
    try:
        return Settings(_secrets_dir=given.get("secrets_dir") or os.environ.get(f"{PREFIX}SECRETS_DIR") or None, **given)
    except ValidationError as wrong:
        raise NotSetUp("\n".join(_told(fault["loc"], fault["msg"]) for fault in wrong.errors())) from None


def count_together(folder: Path) -> None:
    """Have the processes that are started from here on count in a folder: so prometheus_client is told, when it is loaded."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def private_address(address: str) -> bool:
    """Whether nobody on the way can answer for whoever is at an address: https, or http that stays on this machine."""
    if not _ADDRESS.fullmatch(address):
        return False
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for one that is none
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def vault_key(settings: Settings) -> bytes:
    """The 32 bytes under which the vault is encrypted.

    The embedded ledger makes its own on the first start, in a file that only its owner can read. Raises `VaultKeyIsMissing` if
    there is a ledger already but no key, and `NotSetUp` if the key is not one.
    """
    if settings.vault_key is not None:
        return _decoded(settings.vault_key.get_secret_value(), "the vault's key")
    if not settings.embedded:
        raise NotSetUp(
            f"{PREFIX}VAULT_KEY_FILE or {PREFIX}VAULT_KEY must be set with PostgreSQL: 32 random bytes in base64, "
            "as `openssl rand -base64 32` makes them; keep them, as what the vault holds cannot be read without them"
        )
    file = settings.data_dir / VAULT_KEY_FILE
    begun = settings.log_file.exists()  # asked before the key, which is made before the log: so two that start together agree
    if not file.exists():
        if begun:
            raise VaultKeyIsMissing(file)
        make_key(file)
    return _decoded(_read_secret(file), "the vault's key")


def signing_key(settings: Settings, *, begun: bool) -> bytes | None:
    """The 32 bytes of the Ed25519 key that signs checkpoints; nothing where there is none to sign with.

    The embedded ledger makes its own, unless it has `begun` to sign: then `SigningKeyIsMissing`. `NotSetUp` if it is no key.
    """
    if settings.signing_key is not None:
        return _decoded(settings.signing_key.get_secret_value(), "the signing key")
    if not settings.embedded:
        return None
    file = settings.data_dir / SIGNING_KEY_FILE
    if not file.exists():
        if begun:
            raise SigningKeyIsMissing(file)
        make_key(file)
    return key_in(file)


def key_in(file: Path) -> bytes:
    """The signing key in a file; `NotSetUp` if there is none."""
    return _decoded(_read_secret(file), "the signing key")


@dataclass(frozen=True, slots=True)
class Described:
    """A setting as the README and `--help` tell it."""

    variable: str
    default: str
    description: str


def described() -> Iterator[Described]:
    """Every setting, in the order of importance in which `Settings` lists them."""
    for name, field in Settings.model_fields.items():
        yield Described(f"{PREFIX}{name.upper()}", _default(field), field.description or "")


def table() -> str:
    """Every setting as a Markdown table: the README holds it word for word, and a test keeps it so."""
    rows = (f"| `{one.variable}` | {one.default} | {one.description} |" for one in described())
    return "\n".join(("| variable | default | what it sets |", "| --- | --- | --- |", *rows))


def _default(field: FieldInfo) -> str:
    return "" if field.default is None else f"`{field.default}`"


def _told(where: tuple[int | str, ...], what: str) -> str:
    return f"{PREFIX}{'.'.join(map(str, where)).upper()}: {what}" if where else what.removeprefix("Value error, ")


def _sqlite(file: Path) -> str:
    return f"sqlite:///{file}"


def _read_secret(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise NotSetUp(f"cannot read the secret file {file}: {fault.__class__.__name__}") from None


def _decoded(key: str, what: str) -> bytes:
    try:
        found = base64.b64decode(key, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != KEY_BYTES:
        raise NotSetUp(f"{what} must be {KEY_BYTES} bytes in base64")
    return found


def make_key(file: Path) -> None:
    """Make a key. Of several processes that start together one makes it, whole, and the others read that one."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with durable_file.written(file) as out:
            out.write(base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
    except FileExistsError:
        return
