"""What is run: literal argument lists, and values that never become arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operations.commands import (
    DEFAULT_TEMPLATES,
    PLACEHOLDERS,
    RUNNABLE_KINDS,
    BadValue,
    Program,
    build_argv,
    values_of,
)

SETTINGS = Path("/state/settings.json")


def argv(
    kind: str, params: dict[str, Any], *, check: bool = False, file: Path | None = None
) -> list[str]:
    values = values_of(kind, "production", params, check_mode=check)
    values["settings_file"] = str(file) if file else None
    return build_argv(DEFAULT_TEMPLATES[kind], values)


@pytest.mark.parametrize(
    ("kind", "params", "expected"),
    [
        (
            "server_create",
            {"provider": "local", "plan": "2xCPU-4GB"},
            "server create --infra production --provider local --plan 2xCPU-4GB",
        ),
        (
            "server_create",
            {
                "hostname": "web-01",
                "provider": "local",
                "plan": "small",
                "zone": "z",
                "tags": ["a", "b"],
            },
            "server create web-01 --infra production --provider local --plan small --zone z --tags a,b",
        ),
        (
            "server_create",
            {"provider": "local", "plan": "small", "tags": []},
            "server create --infra production --provider local --plan small",
        ),
        ("server_delete", {"hostname": "web-01"}, "server delete web-01 --infra production"),
        ("server_list", {}, "server list --infra production"),
        ("server_status", {"hostname": "web-01"}, "server status web-01 --infra production"),
        (
            "taskserv_create",
            {"name": "containerd", "server": "web-01", "version": "1.7"},
            "taskserv create containerd --infra production --server web-01 --version 1.7",
        ),
        (
            "taskserv_delete",
            {"name": "containerd"},
            "taskserv delete containerd --infra production",
        ),
        ("cluster_create", {"name": "k8s"}, "cluster create k8s --infra production"),
        ("cluster_delete", {"name": "k8s"}, "cluster delete k8s --infra production"),
        ("version", {}, "version"),
    ],
)
def test_the_default_command_lines(kind: str, params: dict[str, Any], expected: str) -> None:
    assert argv(kind, params) == expected.split()


@pytest.mark.parametrize("kind", [kind.value for kind in RUNNABLE_KINDS])
def test_check_mode_adds_one_flag_at_the_end(kind: str) -> None:
    params = {"hostname": "h", "name": "n", "provider": "p", "plan": "q"}
    assert argv(kind, params, check=True) == [*argv(kind, params), "--check"]


@pytest.mark.parametrize("kind", ["taskserv_create", "cluster_create"])
def test_settings_are_named_by_their_file(kind: str) -> None:
    found = argv(kind, {"name": "n", "settings": {"password": "s3cr3t"}}, file=SETTINGS)
    assert found[-2:] == ["--settings", str(SETTINGS)]
    assert "s3cr3t" not in str(found)


def test_a_missing_value_is_named() -> None:
    with pytest.raises(BadValue) as caught:
        argv("server_create", {"provider": "local"})
    assert caught.value.field == "plan"


@pytest.mark.parametrize("value", ["-x", "--force", "-"])
def test_a_value_that_looks_like_an_option_is_refused(value: str) -> None:
    with pytest.raises(BadValue, match="begins with '-'") as caught:
        argv("server_delete", {"hostname": value})
    assert caught.value.field == "hostname"


@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "a\x1b[31m", "a\x85b", "a\u2028b", "\x7f"])
def test_a_value_with_control_characters_is_refused(value: str) -> None:
    with pytest.raises(BadValue, match="control characters"):
        argv("server_delete", {"hostname": value})


def test_an_option_hidden_in_an_optional_group_is_refused_too() -> None:
    with pytest.raises(BadValue) as caught:
        argv("server_create", {"provider": "p", "plan": "q", "zone": "--delete-all"})
    assert caught.value.field == "zone"


@given(
    st.dictionaries(
        st.sampled_from(["hostname", "provider", "plan", "zone", "name", "server", "version"]),
        st.text(min_size=1, max_size=20),
    ),
    st.sampled_from([kind.value for kind in RUNNABLE_KINDS]),
)
def test_whatever_is_asked_for_the_words_are_whole_and_no_value_is_an_option(
    params: dict[str, str], kind: str
) -> None:
    """Either it is refused, or every value is one argument, and every option is the template's."""
    try:
        found = argv(kind, params)
    except BadValue:
        return
    template = str(DEFAULT_TEMPLATES[kind])
    for word in found:
        assert word in params.values() or word == "production" or f"'{word}'" in template
        assert not word.startswith("-") or f"'{word}'" in template


def test_a_value_may_stand_inside_an_argument() -> None:
    assert build_argv(["--host={hostname}"], {"hostname": "web-01"}) == ["--host=web-01"]


def test_braces_in_a_value_are_not_filled_again() -> None:
    values = {"hostname": "{plan}", "plan": "secret"}
    assert build_argv(["{hostname}"], values) == ["{plan}"]


def test_every_placeholder_of_the_default_table_is_known() -> None:
    for key, template in DEFAULT_TEMPLATES.items():
        values = dict.fromkeys(PLACEHOLDERS, "x")
        assert build_argv(template, values), key


def test_a_nushell_script_is_started_by_nu_without_the_users_configuration() -> None:
    assert Program(Path("/opt/provisioning.nu")).argv == [
        "nu",
        "--no-std-lib",
        "-n",
        "/opt/provisioning.nu",
    ]


def test_any_other_program_is_started_by_its_path() -> None:
    assert Program(Path("/usr/local/bin/provisioning")).argv == ["/usr/local/bin/provisioning"]
