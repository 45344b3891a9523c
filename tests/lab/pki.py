# SPDX-License-Identifier: GPL-2.0-or-later
"""A certificate authority as a customer has one, made with strongSwan's `pki`."""

import os
import subprocess


def _pki(*argv):
    done = subprocess.run(["pki", *argv], stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"pki {' '.join(argv)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _write(path, data):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    return path


class Authority:
    """A root certificate; `certificate` is the path of its PEM file."""

    def __init__(self, directory, name):
        os.makedirs(directory, exist_ok=True)
        self._directory = directory
        self._name = name
        self._key = _write(self._path("ca.key"), _pki("--gen", "--type", "rsa", "--size", "2048",
                                                      "--outform", "pem"))
        self.certificate = _write(self._path("ca.pem"), _pki(
            "--self", "--ca", "--in", self._key, "--lifetime", "30",
            "--dn", f"O={name}, CN={name} root CA", "--outform", "pem"))
        os.chmod(self.certificate, 0o644)

    def _path(self, name):
        return os.path.join(self._directory, name)

    def issue(self, identity, address):
        """Key and certificate of a VPN server; returns their paths."""
        key = _write(self._path(f"{identity}.key"), _pki("--gen", "--type", "rsa", "--size", "2048",
                                                         "--outform", "pem"))
        request = _write(self._path(f"{identity}.pub"), _pki("--pub", "--in", key,
                                                             "--outform", "pem"))
        certificate = _write(self._path(f"{identity}.pem"), _pki(
            "--issue", "--cacert", self.certificate, "--cakey", self._key, "--in", request,
            "--dn", f"O={self._name}, CN={identity}", "--san", identity, "--san", address,
            "--flag", "serverAuth", "--lifetime", "30", "--outform", "pem"))
        return key, certificate
