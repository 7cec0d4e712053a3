"""The typed configuration: precedence, secrets from files, one sentence for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioning import config

LONG = "x" * 40


def loaded(tmp_path: Path, text: str = "", **environment: str) -> config.LoadedConfig:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return config.load({"PROVISIONING_CONFIG": str(file), **environment})


def test_the_published_sample_is_accepted_with_a_real_secret(tmp_path: Path) -> None:
    sample = f"""
        [server]
        host = "0.0.0.0"
        port = 8083
        cors_enabled = true
        [auth]
        jwt_secret = "{LONG}"
        token_expiry_hours = 24
        refresh_token_expiry_hours = 168
        [provisioning]
        cli_path = "/usr/local/bin/provisioning"
        timeout_seconds = 300
        max_concurrent_operations = 10
        [logging]
        level = "info"
        json_format = false
    """

    values = loaded(tmp_path, sample).values

    assert (values.server.host, values.provisioning.max_concurrent_operations) == ("0.0.0.0", 10)


def test_flags_beat_environment_beats_file_beats_default(tmp_path: Path) -> None:
    flags = config.flags_as_environment({"server.port": "3"})
    file = "[server]\nport = 1\nhost = 'a'\n[logging]\nlevel = 'error'"

    found = loaded(tmp_path, file, **{"PROVISIONING_SERVER__HOST": "b", **flags})

    assert found.values.server.port == 3
    assert found.values.server.host == "b"
    assert found.values.logging.level == "error"
    assert found.values.provisioning.timeout_seconds == 300
    assert found.origins["server.port"] == "flag"
    assert found.origins["server.host"] == "environment PROVISIONING_SERVER__HOST"
    assert found.origins["logging.level"].startswith("file ")
    assert "provisioning.timeout_seconds" not in found.origins


def test_the_two_names_of_the_original_work(tmp_path: Path) -> None:
    values = loaded(tmp_path, JWT_SECRET=LONG, PROVISIONING_CLI_PATH="/bin/p").values

    assert (values.auth.jwt_secret, values.provisioning.cli_path) == (LONG, "/bin/p")


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{LONG}\n")

    found = loaded(tmp_path, JWT_SECRET_FILE=str(tmp_path / "secret"))

    assert found.values.auth.jwt_secret == LONG


def test_lists_are_written_with_commas_or_as_json(tmp_path: Path) -> None:
    for text in (
        "https://a.example,https://b.example",
        '["https://a.example", "https://b.example"]',
    ):
        values = loaded(tmp_path, PROVISIONING_SERVER__CORS_ALLOWED_ORIGINS=text).values
        assert values.server.cors_allowed_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("file", "environment", "sentence"),
    [
        ("[server]\nport = 70000", {}, "server.port = 70000: input should be less than or equal"),
        ("[server]\nprot = 1", {}, "server.prot is no setting of this program"),
        ("[sever]\nport = 1", {}, "sever is no setting of this program"),
        ("port = ", {}, "is not TOML"),
        (
            "",
            {"PROVISIONING_SERVER__PORT": "x"},
            "server.port = 'x': input should be a valid integer",
        ),
        ("", {"PROVISIONING_SERVER__PROT": "1"}, "there is no such setting"),
        ("", {"JWT_SECRET": "short"}, "must have at least 32"),
        ("", {"JWT_SECRET": ""}, "must have at least 32"),
        ("", {"JWT_SECRET": "your-secret-key-here" * 2}, "sample of the documentation"),
        ("", {"PROVISIONING_ADMIN_PASSWORD": "admin123"}, "sample of the documentation"),
        ("", {"JWT_SECRET": LONG, "JWT_SECRET_FILE": "/x"}, "are both set: set one of them"),
        ("", {"JWT_SECRET_FILE": "/nonexistent"}, "cannot be read"),
        (
            "",
            {"PROVISIONING_SERVER__TLS_CERT": "/x"},
            "tls_cert and tls_key must be given together",
        ),
        (
            "",
            {"PROVISIONING_DATABASE__URL": "mysql://u:hunter2@h/d"},
            "must begin with sqlite:// or",
        ),
        ("", {"PROVISIONING_SERVER__CORS_ALLOWED_ORIGINS": "a.b"}, "'a.b' is not an origin"),
        ("", {"PROVISIONING_SERVER__HOST": ""}, "server.host = ''"),
        ("", {"PROVISIONING_LOGGING__LEVEL": "loud"}, "logging.level = 'loud'"),
        ("", {"PROVISIONING_DATABASE__URL": "postgresql://u:hunter2@h:bad/x"}, "is no URL such as"),
        ("", {"PROVISIONING_DATABASE__URL": "postgresql://"}, "is no URL such as"),
        ("server = 5", {"PROVISIONING_SERVER__PORT": "9"}, "must be a section, [server]"),
        ("", {"PROVISIONING_SERVERR__PORT": "9"}, "PROVISIONING_SERVERR__PORT is set, but there"),
        ("", {"PROVISIONING_SERVER": '{"port": 9}'}, "PROVISIONING_SERVER is set, but there"),
        ("", {"PROVISIONING_STATE_DIR": ""}, "must not be empty"),
        ("[auto_install]\nsecrets_key = 'hunter2'", {}, "auto_install.secrets_key"),
        ("[auto_install]\nmax_body_bytes = 4095", {}, "auto_install.max_body_bytes = 4095"),
        ("[auto_install]\nmax_body_bytes = 8388609", {}, "auto_install.max_body_bytes = 8388609"),
        ("[auto_install]\nrefusals_per_minute = 0", {}, "auto_install.refusals_per_minute = 0"),
        ("[auto_install]\ncolour = 1", {}, "auto_install.colour is no setting of this program"),
        ("[auto-install]\nmax_body_bytes = 5000", {}, "auto-install is no setting"),
        (
            "",
            {"PROVISIONING_AUTO_INSTALL__SECRETS_KEY": "hunter2"},
            "should have at least 32 characters",
        ),
        (
            "",
            {"PROVISIONING_AUTO_INSTALL__REFUSALS_PER_MINUTE": "many"},
            "auto_install.refusals_per_minute = 'many'",
        ),
    ],
)
def test_a_bad_value_is_one_line_that_names_key_value_and_rule(
    tmp_path: Path, file: str, environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(config.ConfigError) as refused:
        loaded(tmp_path, file, **environment)

    said = str(refused.value)
    assert sentence in said
    assert "\n" not in said
    assert "hunter2" not in said


def test_dev_accepts_the_samples(tmp_path: Path) -> None:
    values = loaded(tmp_path, JWT_SECRET="short", PROVISIONING_DEV="true").values

    assert values.auth.jwt_secret == "short"


def test_masking_hides_every_secret(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        JWT_SECRET=LONG,
        PROVISIONING_ADMIN_PASSWORD="hunter2-hunter2",
        PROVISIONING_DATABASE__URL="postgresql://u:hunter2@h/d",
    )

    shown = "\n".join(" ".join(row) for row in found.masked())
    assert LONG not in shown
    assert "hunter2" not in shown
    assert shown.count("********") == 3


def test_the_cli_is_given_no_secret_of_ours(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        '[provisioning]\npass_environment = ["UPCLOUD_*", "JWT_SECRET", "PROVISIONING_*"]',
        JWT_SECRET=LONG,
        PROVISIONING_ADMIN_PASSWORD="hunter2-hunter2",
        UPCLOUD_USERNAME="u",
        AWS_KEY="k",
        PATH="/bin",
    )

    given = found.environment_for_cli()
    assert given["UPCLOUD_USERNAME"] == "u"
    assert given["PATH"] == "/bin"
    assert "AWS_KEY" not in given
    assert LONG not in given.values()
    assert "hunter2-hunter2" not in given.values()


def test_the_section_of_auto_install_has_defaults(tmp_path: Path) -> None:
    section = loaded(tmp_path).values.auto_install

    assert (section.secrets_key, section.max_body_bytes, section.refusals_per_minute) == (
        None,
        512 * 1024,
        60,
    )


def test_the_section_of_auto_install_is_read(tmp_path: Path) -> None:
    file = f"[auto_install]\nsecrets_key = '{LONG}'\nmax_body_bytes = 4096"

    section = loaded(
        tmp_path, file, PROVISIONING_AUTO_INSTALL__REFUSALS_PER_MINUTE="100000"
    ).values.auto_install

    assert (section.secrets_key, section.max_body_bytes, section.refusals_per_minute) == (
        LONG,
        4096,
        100_000,
    )


def test_the_key_of_the_machines_secrets_can_come_from_a_file_and_is_masked(
    tmp_path: Path,
) -> None:
    (tmp_path / "key").write_text(f"{LONG}\n")

    found = loaded(tmp_path, PROVISIONING_AUTO_INSTALL__SECRETS_KEY_FILE=str(tmp_path / "key"))

    assert found.values.auto_install.secrets_key == LONG
    rows = {row[0]: row for row in found.masked()}
    assert rows["auto_install.secrets_key"][1] == "********"
    assert LONG not in repr(found.values)


def test_the_cli_is_not_given_the_key_of_the_machines_secrets(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        '[provisioning]\npass_environment = ["PROVISIONING_*"]',
        PROVISIONING_AUTO_INSTALL__SECRETS_KEY=LONG,
    )

    assert LONG not in found.environment_for_cli().values()


def test_a_trailing_slash_of_the_public_url_is_dropped(tmp_path: Path) -> None:
    values = loaded(tmp_path, PROVISIONING_SERVER__PUBLIC_URL="https://p.example/").values

    assert values.server.public_url == "https://p.example"


def test_a_certificate_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("not a certificate")
    path = str(tmp_path / "x.pem")

    with pytest.raises(config.ConfigError, match="are no PEM certificate with its key"):
        loaded(tmp_path, PROVISIONING_SERVER__TLS_CERT=path, PROVISIONING_SERVER__TLS_KEY=path)
