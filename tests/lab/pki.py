# SPDX-License-Identifier: GPL-2.0-or-later
"""A certificate authority as a customer has one, made with strongSwan's `pki`."""

import datetime
import os
import subprocess

KEY_TYPES = {"rsa": ["--type", "rsa", "--size", "2048"],
             "ecdsa": ["--type", "ecdsa", "--size", "256"],
             "ed25519": ["--type", "ed25519"]}


def _pki(*argv):
    done = subprocess.run(["pki", *argv], stdin=subprocess.DEVNULL, capture_output=True,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"pki {' '.join(argv)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _write(path, data, mode=0o600):
    if os.path.exists(path):
        os.unlink(path)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
    return path


def _openssl(*argv):
    return subprocess.run(["openssl", *argv], stdin=subprocess.DEVNULL, capture_output=True,
                          check=True).stdout


def _days(days):
    """In DAYS from now, as pki's default format of a date."""
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return when.strftime("%d.%m.%y %H:%M:%S")


class Authority:
    """A root certificate; `certificate` is the path of its PEM file."""

    def __init__(self, directory, name, *, key_type="rsa", parent=None):
        os.makedirs(directory, exist_ok=True)
        self._directory = directory
        self._name = name
        self._issued = []  # paths of certificates
        self.key = _write(self._path("ca.key"), _pki("--gen", *KEY_TYPES[key_type], "--outform",
                                                     "pem"))
        dn = f"O={name}, CN={name} {'issuing' if parent else 'root'} CA"
        if parent:
            request = self._public(self.key, "ca")
            encoded = _pki("--issue", "--ca", "--cacert", parent.certificate, "--cakey", parent.key,
                           "--in", request, "--lifetime", "30", "--dn", dn, "--outform", "pem")
        else:
            encoded = _pki("--self", "--ca", "--in", self.key, "--lifetime", "30", "--dn", dn,
                           "--outform", "pem")
        self.certificate = _write(self._path("ca.pem"), encoded, 0o644)

    def _path(self, name):
        return os.path.join(self._directory, name)

    def _public(self, key, name):
        return _write(self._path(f"{name}.pub"), _pki("--pub", "--in", key, "--outform", "pem"))

    def issue(self, identity, address=None, *, names=None, key_type="rsa", valid=(-1, 30), crl=None,
              ocsp=None, flag="serverAuth", padding=0):
        """Key and certificate of IDENTITY; returns their paths.

        NAMES: the alternative names, otherwise IDENTITY and ADDRESS. VALID: from and until, in
        days from now. PADDING: so many further names, to make it large.
        """
        key = _write(self._path(f"{identity}.key"), _pki("--gen", *KEY_TYPES[key_type], "--outform",
                                                         "pem"))
        if names is None:
            names = [identity] + ([address] if address else [])
        names = names + [f"{'x' * 40}{number}.customer.example" for number in range(padding)]
        options = [option for name in names for option in ("--san", name)]
        options += [option for url in [crl] if url for option in ("--crl", url)]
        options += [option for url in [ocsp] if url for option in ("--ocsp", url)]
        certificate = _write(self._path(f"{identity}.pem"), _pki(
            "--issue", "--cacert", self.certificate, "--cakey", self.key, "--in",
            self._public(key, identity), "--dn", f"O={self._name}, CN={identity}", *options,
            "--flag", flag, "--not-before", _days(valid[0]), "--not-after", _days(valid[1]),
            "--outform", "pem"))
        self._issued.append(certificate)
        return key, certificate

    def issue_client(self, identity, **options):
        """The same for one who logs in."""
        return self.issue(identity, **{"flag": "clientAuth", **options})

    def issue_as_easy_rsa(self, identity, *, flag="serverAuth", valid=(-1, 30)):
        """As OpenVPN's users make theirs: no alternative names, but the keyUsage that
        `remote-cert-tls` wants and strongSwan's `pki` does not write; returns the paths."""
        key, request = self._path(f"{identity}.key"), self._path(f"{identity}.csr")
        extensions = _write(self._path(f"{identity}.cnf"), (
            "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\n"
            f"extendedKeyUsage={flag}\nsubjectKeyIdentifier=hash\n").encode())
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-keyout", key, "-out", request, "-subj", f"/O={self._name}/CN={identity}")
        certificate = self._path(f"{identity}.pem")
        serial = os.urandom(8).hex()
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                 "-set_serial", f"0x1{serial}", "-extfile", extensions, "-days", str(valid[1]),
                 "-out", certificate)
        self._issued.append(certificate)
        return key, certificate

    def revocation_list(self, *revoked, valid=(-1, 1)):
        """A CRL in DER that has the certificates REVOKED in it."""
        arguments = [argument for path in revoked for argument in ("--reason", "key-compromise",
                                                                   "--cert", path)]
        return _pki("--signcrl", "--cacert", self.certificate, "--cakey", self.key, "--this-update",
                    _days(valid[0]), "--next-update", _days(valid[1]), *arguments)

    def index(self, *revoked):
        """What `openssl ocsp` answers from; returns the path."""
        lines = []
        for path in dict.fromkeys(self._issued):
            serial = _openssl("x509", "-in", path, "-noout", "-serial").decode()
            serial = serial.strip().partition("=")[2]
            state = "R\t491231235959Z\t240101000000Z" if path in revoked else "V\t491231235959Z\t"
            lines.append(f"{state}\t{serial}\tunknown\t/CN={os.path.basename(path)}\n")
        return _write(self._path("index.txt"), "".join(lines).encode())


def encrypt(key, password="secret"):
    """KEY with a password on it, in a file beside it; returns the path."""
    path = f"{key}.encrypted"
    _openssl("pkey", "-in", key, "-aes256", "-passout", f"pass:{password}", "-out", path)
    return path


def to_pkcs8(key):
    """KEY in the other common form; returns the path."""
    path = f"{key}.pkcs8"
    _openssl("pkcs8", "-topk8", "-nocrypt", "-in", key, "-out", path)
    return path
