//! How the listeners of `[server]` are reached: names of the API's host, certificates of both.

use std::net::SocketAddr;
use std::path::PathBuf;

use url::Host;

use super::codes;
use super::gateway::path;
use super::read::{Item, Report, Table, shown};

/// Where the certificate of a listener is read from, again whenever the files change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM: the certificate of the listener, then those that lead to its authority.
    pub cert: PathBuf,
    /// PEM: the private key of the first of them.
    pub key: PathBuf,
}

/// Most names of the API's host: a few for people, a few for programs.
const HOSTS_MAX: usize = 64;

/// `tls` or `admin_tls`.
pub(super) fn tls(item: &Item<'_>, report: &mut Report) -> Option<TlsFiles> {
    let table = report.table(item, &["cert", "key"])?;
    let cert = table
        .need("cert", report)
        .and_then(|item| path(&item, report));
    let key = table
        .need("key", report)
        .and_then(|item| path(&item, report));
    Some(TlsFiles {
        cert: cert?,
        key: key?,
    })
}

/// The names under which the API may be asked for, in lower case.
pub(super) fn hosts(item: &Item<'_>, report: &mut Report) -> Option<Vec<String>> {
    report.each(item, 0..=HOSTS_MAX, |item, report| {
        let text = &report.text(item)?.text;
        match Host::parse(text) {
            Ok(Host::Domain(name)) if !text.contains(['*', '%']) => Some(name),
            Ok(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => {
                let message = format!("`{}` is not the name of a host", shown(text));
                let hint = "write a DNS name without scheme and port; addresses need not be named";
                report.add(codes::HOST, item, message, Some(hint.to_owned()));
                None
            }
        }
    })
}

/// One port shows one certificate.
pub(super) fn check_shared(table: &Table<'_>, report: &mut Report) {
    if let Some(item) = table.get("admin_tls") {
        let message = "`ingest` and `admin` are the same address, which has one certificate";
        let hint = "set `tls` and remove `admin_tls`".to_owned();
        report.add(codes::CONFLICT, &item, message.to_owned(), Some(hint));
    }
}

/// Warns where tokens would cross a network that others can read.
pub(super) fn check_open(table: &Table<'_>, admin: SocketAddr, report: &mut Report) {
    if !admin.ip().is_loopback()
        && let Some(item) = table.get("admin")
    {
        let message =
            format!("the API at `{admin}` can be reached from other machines without TLS");
        report.add(codes::OPEN_ADMIN, &item, message, None);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, Loaded, load_toml};

    fn codes(text: &str) -> (Option<Config>, Vec<String>) {
        let Loaded { config, problems } = load_toml(text, "f", &|_| None);
        let codes = problems.iter().map(|problem| problem.code.to_string());
        (config, codes.collect())
    }

    #[test]
    fn certificates_are_found_beside_the_file_and_names_are_lower_case() {
        let (config, found) = codes(
            r#"
            [server]
            admin_hosts = ["Gateway.Example.com", "bücher.example"]
            tls = { cert = "in.pem", key = "/etc/in.key" }
            [server.admin_tls]
            cert = "admin.pem"
            key = "admin.key"
            "#,
        );
        assert_eq!(found, [""; 0]);
        let mut config = config.unwrap();
        config.resolve_paths(Path::new("/etc/switchhook"));
        let server = config.server;
        let names = ["gateway.example.com", "xn--bcher-kva.example"];
        assert_eq!(server.admin_hosts, names);
        let (tls, admin_tls) = (server.tls.unwrap(), server.admin_tls.unwrap());
        assert_eq!(tls.cert, Path::new("/etc/switchhook/in.pem"));
        assert_eq!(tls.key, Path::new("/etc/in.key"));
        assert_eq!(admin_tls.key, Path::new("/etc/switchhook/admin.key"));
    }

    #[test]
    fn an_api_that_is_encrypted_or_on_this_machine_is_not_warned_of() {
        let tls = "tls = { cert = \"a\", key = \"b\" }";
        for lines in [
            format!("admin = \"0.0.0.0:1\"\nadmin_{tls}"),
            format!("admin = \"0.0.0.0:1\"\ningest = \"0.0.0.0:1\"\n{tls}"),
            "admin = \"127.0.0.2:1\"".to_owned(),
            "ingest = \"0.0.0.0:1\"".to_owned(),
        ] {
            let (config, found) = codes(&format!("[server]\n{lines}"));
            assert!(config.is_some() && found.is_empty(), "{lines} {found:?}");
        }
    }
}
