"""Causes that lie in keys and certificates."""

from __future__ import annotations

from migrationlab.explain.cause import Cause, Log, NoticedBy

CLIENT, SOURCE, DESTINATION, QEMU = NoticedBy

_LIBVIRTS_FILES = "libvirt's are in /etc/pki/CA and /etc/pki/libvirt"
_QEMUS_FILES = "QEMU's in /etc/pki/qemu, or migrate_tls_x509_cert_dir of qemu.conf"

TRUST = (
    Cause(
        id="host-key-unknown",
        by=None,
        wordings=(
            "host key verification failed",
            "ssh host key for {} was not accepted",
            "can't verify the session host key",
            "no suitable callback for host key verification",
            "remote host identification has changed",
            "failed to validate ssh host key",
            "known hosts file {} does not exist",
        ),
        never=("could not read from remote repository",),
        cause="whoever dials by ssh does not know that host's key, or knows another: in peer2peer "
        "that is root of the source host, not you",
        mend="on the dialling host, as root: ssh-keyscan HOST, compare the key with the "
        "destination's own (ssh-keygen -lf), add it to /root/.ssh/known_hosts; after a new "
        "installation remove the old one (ssh-keygen -R HOST)",
        seen="OpenSSH; virnetsshsession.c virNetSSHCheckHostKey; virnetlibsshsession.c",
    ),
    Cause(
        id="ssh-refused",
        by=None,
        wordings=(
            "cannot recv data: {}permission denied",
            "root@{word}: permission denied (",
            "end of file while reading data: permission denied",
            "no authentication methods supplied",
            "all provided authentication methods with credentials were rejected",
            "none of the requested authentication methods are supported by the server",
            "failed to authenticate using ssh agent",
            "authentication with private key {} has failed",
            "ssh agent did not provide any authentication identity",
            "all identities provided by the ssh agent were rejected",
            "failed to connect to ssh agent",
            "error while opening private key {}",
            "error while reading private key {}",
        ),
        cause="the ssh server does not let the dialling account in: in peer2peer that is root of "
        "the source host, which has no agent and no terminal for a password",
        mend="put root's public key of the source into authorized_keys of the account on the "
        "destination; try it as root there: ssh -o BatchMode=yes root@HOST true",
        seen="OpenSSH by virnetsocket.c; virnetsshsession.c; virnetlibsshsession.c",
    ),
    Cause(
        id="ssh-helper-missing",
        by=None,
        wordings=(
            "virt-ssh-helper: {}not found",
            "virt-ssh-helper: no such file",
            "cannot recv data: {}command not found",
            "remote program terminated with non-zero code",
            "remote command terminated with non-zero code",
            "nc: unix connect failed",
            "end of file while reading data: {}nc: not found",
            "end of file while reading data: {}command not found",
            "end of file while reading data: {}ncat: connection refused",
            "end of file while reading data: {}ncat: no such file or directory",
        ),
        cause="ssh works, but what it starts on the other host does not: there is no "
        "virt-ssh-helper or nc, or it finds no libvirtd",
        mend="install libvirt's client files (virt-ssh-helper) there and see that libvirtd runs; "
        "for an old host, ?proxy=netcat in the connection URI",
        seen="virnetclient.c virNetClientSSHHelperCommand; virnetsshsession.c virNetSSHChannelRead",
    ),
    Cause(
        id="ssh-handshake-failed",
        by=None,
        wordings=(
            "ssh session handshake failed",
            "kex_exchange_identification",
            "cannot recv data: connection closed by {word} port {n}",
            "no matching host key type found",
            "no matching key exchange method found",
            "failed to open ssh channel",
        ),
        never=("could not read from remote repository",),
        cause="the two ends of ssh found no common ground, or the server hung up at once",
        mend="see the server's log (journalctl -u ssh); often MaxStartups is reached, or one end "
        "is much older than the other",
        seen="OpenSSH; virnetsshsession.c virNetSSHSessionConnect",
    ),
    Cause(
        id="certificate-wrong-name",
        by=None,
        wordings=(
            "certificate {} owner does not match the hostname",
            "certificate does not match the hostname",
            "no hostname for certificate validation",
            # The lab's own way from the notebook to a host's TLS port is Python's.
            "mismatch, certificate is not valid for {quoted}",
        ),
        cause="the destination's certificate is for another name than the one that was dialled",
        mend="dial the name that the certificate has (certtool -i, Subject Alternative Name), "
        "give it as tls_destination for QEMU's data, or issue a certificate for the name dialled",
        seen="virnettlscert.c virNetTLSCertCheckDN; QEMU crypto/tlssession.c; CPython's _ssl.c",
        logs=(Log.SOURCE_DAEMON, Log.SOURCE_QEMU),
    ),
    Cause(
        id="certificate-expired",
        by=None,
        wordings=(
            "ca certificate {word} has expired",
            "server certificate {word} has expired",
            "client certificate {word} has expired",
            "certificate {word} is not yet active",
            "the certificate has expired",
            "certificate chain uses expired certificate",
            "certificate chain uses not yet valid certificate",
            "certificate is not yet activated",
            "the certificate has been revoked",
        ),
        never=("curl", "ssl certificate problem", "x509:", "urllib", "openssl", "https://"),
        cause="a certificate is out of date, or not valid yet: it ran out, or a host's clock is "
        "wrong",
        mend="issue a new one (certtool -i --infile FILE shows the dates) and restart libvirtd; "
        "compare the hosts' clocks",
        seen="virnettlscert.c virNetTLSCertCheckTimes; QEMU crypto/tlscredsx509.c, "
        "crypto/tlssession.c",
        logs=(Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON),
    ),
    Cause(
        id="certificate-unknown-authority",
        by=None,
        wordings=(
            "certificate hasn't got a known issuer",
            "certificate failed validation",
            "own certificate {} failed validation",
            "unable to verify server certificate {} against ca certificate",
            "unable to verify client certificate {} against ca certificate",
            "certificate issuer is unknown",
            "unable to verify tls peer",
            "verify failed: {}certificate",
        ),
        cause="the other side's certificate was signed by an authority that this side does not "
        "know",
        mend="give all hosts the same CA certificate, and certificates signed by it: "
        f"{_LIBVIRTS_FILES}, {_QEMUS_FILES}",
        seen="virnettlscert.c virNetTLSCertCheckPair, virnettlscontext.c "
        "virNetTLSContextValidCertificate; QEMU crypto/tlscredsx509.c, crypto/tlssession.c",
        logs=(Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON),
    ),
    Cause(
        id="certificate-not-for-this-use",
        by=None,
        wordings=(
            "usage does not permit digital signature",
            "usage does not permit key encipherment",
            "usage does not permit certificate signing",
            "purpose does not allow use {}tls server",
            "purpose does not allow use {}tls client",
            "basic constraints show a ca, but we need one for a",
            "basic constraints do not show a ca",
            "missing basic constraints for a ca",
        ),
        cause="a certificate was issued for another purpose: a server's in a client's place, or "
        "an authority's in a host's",
        mend="issue it anew with the key usage and purpose that its place needs: "
        "libvirt.org/kbase/tlscerts.html has the templates",
        seen="virnettlscert.c virNetTLSCertCheckKeyUsage; QEMU crypto/tlscredsx509.c",
        logs=(Log.SOURCE_DAEMON, Log.DESTINATION_DAEMON),
    ),
    Cause(
        id="certificate-name-not-allowed",
        by=DESTINATION,
        wordings=(
            "is not on the list of allowed clients",
            "tls x509 authz check for {} is denied",
        ),
        cause="the client's certificate is good, but its name is not among those let in",
        mend="add it to tls_allowed_dn_list in the destination's libvirtd.conf; "
        "virt-pki-query-dn shows the name as it must stand there",
        seen="virnettlscert.c virNetTLSCertCheckDNACL; QEMU crypto/tlssession.c",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="certificate-missing",
        by=QEMU,
        wordings=(
            "unable to access credentials",
            "cannot load certificate {} & key {}",
            "cannot load ca certificate",
            "cannot load ca cert list",
            "unable to import server certificate",
            "unable to import client certificate",
            "host migration tls directory not configured",
            "migrate_tls_x509_cert_dir directory {} does not exist",
            "no tls credentials with id",
            "unable to set x509 key and certificate",
            "no ca certificate path set to match server",
            "no server certificate path set to match server key",
            "no server key path set to match server cert",
            "unable to read server cert {}",
            "did not send any certificate",
            "handshake failed{}no certificate was found",
            "handshake failed{}certificate is required",
            "tls peer: no certificate was found",
            "tls channel: certificate is required",
            "no certificate peers",
            "the certificate has no peers",
        ),
        cause="a certificate, its key or the CA's certificate is not where TLS looks for it; QEMU "
        "does not use libvirtd's",
        mend=f"put it there, readable by who needs it: {_LIBVIRTS_FILES}, {_QEMUS_FILES}; the "
        "source needs client-cert.pem, the destination server-cert.pem, both ca-cert.pem",
        seen="QEMU crypto/tlscreds.c qcrypto_tls_creds_get_path; qemu_migration_params.c "
        "qemuMigrationParamsEnableTLS; virnettlscontext.c",
        logs=(Log.SOURCE_QEMU, Log.DESTINATION_QEMU),
    ),
    Cause(
        id="certificate-missing",
        by=None,
        wordings=(
            "cannot read ca certificate",
            "cannot read private key {quoted}",
            "cannot read certificate {quoted}",
            "unable to set x509 ca certificate",
            "unable to read tls confirmation",
        ),
        cause="the dialling side has no certificates for libvirt's TLS, or not what the other "
        "libvirtd wants to see of a client; a connection URI with a host but without a transport "
        "means TLS, and so does a migration URI in its place",
        mend="if ssh was meant, write qemu+ssh://root@HOST/system, and tcp:// only in the "
        "migration URI; for TLS, give the dialling host (in peer2peer the source) the CA's and a "
        f"client certificate: {_LIBVIRTS_FILES}",
        seen="virnettlscontext.c virNetTLSContextCheckCertFile; virnetclient.c "
        "virNetClientSetTLSSession",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="certificate-not-verified",
        by=None,
        wordings=("failed to verify peer's certificate",),
        cause="the dialling side does not accept the certificate that the other libvirtd showed: "
        "it is for another name, has run out, or is of an authority unknown here",
        mend="the dialling side's own log says which (in peer2peer the source libvirtd's); virsh "
        "by the same URI from there says it too",
        seen="virnettlscontext.c virNetTLSContextCheckCertificate",
        logs=(Log.SOURCE_DAEMON,),
    ),
    Cause(
        id="certificate-refused",
        by=None,
        wordings=("server verification (of our certificate or ip address) failed",),
        cause="the other libvirtd did not accept the certificate that it was shown",
        mend="give the dialling side (in peer2peer the source host) a client certificate of the "
        "authority that the other side knows; the other libvirtd's log says what it disliked",
        seen="virnetclient.c virNetClientSetTLSSession",
        logs=(Log.DESTINATION_DAEMON,),
    ),
    Cause(
        id="tls-broken-off",
        by=QEMU,
        wordings=(
            "cannot read from tls channel",
            "cannot write to tls channel",
            "the tls connection was non-properly terminated",
        ),
        cause="one QEMU ended the encrypted stream: it did not accept the other's certificate or "
        "name (or was shown none), or it died",
        mend="the other QEMU's own log says why; see that the source has client-cert.pem, and "
        f"that the name dialled is in the destination's certificate: {_QEMUS_FILES}",
        seen="QEMU crypto/tlssession.c qcrypto_tls_session_read, _write; 7.2 to 10.2",
        logs=(Log.SOURCE_QEMU, Log.DESTINATION_QEMU),
    ),
    Cause(
        id="tls-handshake-failed",
        by=None,
        wordings=("tls handshake failed", "unable to set tls session priority"),
        cause="the two ends of TLS do not agree: one does not speak TLS on that port, one has no "
        "fitting certificate, or their versions or ciphers don't meet",
        mend="see that both sides use TLS (the TLS flag is the plan's, for both), and the other "
        "side's log for its own reason",
        seen="virnettlscontext.c virNetTLSSessionHandshake; QEMU crypto/tlssession.c "
        "qcrypto_tls_session_handshake",
        logs=(Log.DESTINATION_DAEMON, Log.DESTINATION_QEMU),
    ),
    Cause(
        id="tls-unsupported",
        by=SOURCE,
        wordings=(
            "tls migration is not supported with this qemu binary",
            "qemu nbd server does not support tls transport",
            "tls requires gnutls support",
            "tls credentials support requires gnutls",
        ),
        cause="this QEMU was built without TLS for migration",
        mend="use a QEMU with GnuTLS on both hosts, or TUNNELLED over a TLS connection URI",
        seen="qemu_migration_params.c qemuMigrationParamsEnableTLS; QEMU crypto/tlssession.c",
    ),
)
