"""What somebody types to prepare an image that asks this server. Forms are those of Proxmox's wiki page
"Automated Installation" and of `proxmox-auto-install-assistant` 9.2."""

from __future__ import annotations

import hashlib
import shlex
import ssl
from dataclasses import dataclass, field
from pathlib import Path

ANSWER_PATH = "/api2/json/auto-install/answer"
ISO = "proxmox-ve_9.2-1.iso"
# Read by the image; option 251 and the second record hold the certificate's fingerprint.
DHCP_OPTION, DHCP_FINGERPRINT_OPTION = 250, 251
RECORD = "proxmox-auto-installer.example.com."


@dataclass(frozen=True)
class Recipe:
    """`credential` is `id:secret`, `base_url` this server as machines reach it, without a slash at the end;
    `fingerprint` that of its certificate, empty where none has to be named."""

    credential: str = field(repr=False)  # Django's templates log what they are given, at debug
    base_url: str
    fingerprint: str = ""

    @property
    def answer_url(self) -> str:
        return f"{self.base_url}{ANSWER_PATH}"

    @property
    def url_with_token(self) -> str:
        """For installers that send no token, where the token allows it."""
        return f"{self.answer_url}/{self.credential}"

    @property
    def is_open_to_readers(self) -> bool:
        """Without TLS everybody on the way reads the token and the hash of the root password."""
        return self.base_url.startswith("http://")

    @property
    def prepare_iso(self) -> str:
        """One command for a shell, over several lines."""
        options = [
            f"proxmox-auto-install-assistant prepare-iso {ISO}",
            "--fetch-from http",
            f"--url {shlex.quote(self.answer_url)}",
            *([f"--cert-fingerprint {self.fingerprint}"] if self.fingerprint else []),
            f"--answer-auth-token {shlex.quote(self.credential)}",
        ]
        return " \\\n    ".join(options)

    @property
    def url_discovery(self) -> str:
        """Lines for dnsmasq and for a DNS zone, which an image without `--url` looks for."""
        return self._discovery(self.answer_url)

    @property
    def token_discovery(self) -> str:
        """The same for installers that send no token."""
        return self._discovery(self.url_with_token)

    def _discovery(self, url: str) -> str:
        lines = [f'dhcp-option={DHCP_OPTION},"{url}"']
        if self.fingerprint:
            lines.append(f'dhcp-option={DHCP_FINGERPRINT_OPTION},"{self.fingerprint}"')
        lines.append(f'{RECORD} IN TXT "{url}"')
        if self.fingerprint:
            name = RECORD.replace(".", "-cert-fingerprint.", 1)
            lines.append(f'{name} IN TXT "{self.fingerprint}"')
        return "\n".join(lines)


def fingerprint_of(certificate: Path | None) -> str:
    """SHA-256 of the first certificate of a PEM file, as pairs with colons; empty where there is none or it
    cannot be read: what it is for can be done by hand."""
    if certificate is None:
        return ""
    try:
        text = certificate.read_text()
        end = "-----END CERTIFICATE-----"
        der = ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN") :].partition(end)[0] + end)
    except (OSError, ValueError):
        return ""
    digest = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))
