//! Where an API is: a region of Genesys Cloud, or any base URL.
//!
//! A region is named as people have it at hand: the AWS region (`eu-central-1`), the host of the organisation
//! (`mypurecloud.de`, also with `api.`, `login.` or `apps.` before it, or as a URL), or the first label of a newer host
//! (`euc2`). `us-east-1.mypurecloud.com`, which tutorials write, is the AWS region before the dot. Anything else is
//! refused with the nearest name: a wrong region would get the client's secret.
//! A base URL serves tokens and API alike, as our gateway does. Plain HTTP is for this machine only, unless the caller
//! says otherwise, since every call carries a token.

use std::net::IpAddr;

use url::{Host, Url};

/// The regions of Genesys Cloud: AWS region and host (`facts` genesys 3.1; the lists of the official SDK and of the
/// Terraform provider agree).
pub const REGIONS: [(&str, &str); 18] = [
    ("ap-northeast-1", "mypurecloud.jp"),
    ("ap-northeast-2", "apne2.pure.cloud"),
    ("ap-northeast-3", "apne3.pure.cloud"),
    ("ap-south-1", "aps1.pure.cloud"),
    ("ap-southeast-1", "apse1.pure.cloud"),
    ("ap-southeast-2", "mypurecloud.com.au"),
    ("ca-central-1", "cac1.pure.cloud"),
    ("eu-central-1", "mypurecloud.de"),
    ("eu-central-2", "euc2.pure.cloud"),
    ("eu-west-1", "mypurecloud.ie"),
    ("eu-west-2", "euw2.pure.cloud"),
    ("eusc-de-east-1", "edee1.eusc-pure.cloud"),
    ("me-central-1", "mec1.pure.cloud"),
    ("mx-central-1", "mxc1.pure.cloud"),
    ("sa-east-1", "sae1.pure.cloud"),
    ("us-east-1", "mypurecloud.com"),
    ("us-east-2", "use2.us-gov-pure.cloud"),
    ("us-west-2", "usw2.pure.cloud"),
];

/// What stands before the host of a region.
const PREFIXES: [&str; 3] = ["api.", "login.", "apps."];

/// Where tokens are given, and where the API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bases {
    /// `/oauth/token` is below it.
    pub login: Url,
    /// `/api/v2` is below it.
    pub api: Url,
}

/// Text that names no API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No region is called so.
    #[error("`{given}` is no region of Genesys Cloud; {hint}")]
    Region {
        /// What was given.
        given: String,
        /// The nearest name, or how to write one.
        hint: String,
    },
    /// Not a URL that can be the base of an API.
    #[error("`{given}` cannot be the base of an API: {what}")]
    Base {
        /// What was given, without credentials.
        given: String,
        /// What is wrong with it.
        what: String,
    },
    /// Plain HTTP to another machine.
    #[error(
        "plain http to `{0}` would show the client's secret to everybody on the way; use https"
    )]
    Plain(String),
}

impl Bases {
    /// The addresses of a region of Genesys Cloud.
    ///
    /// # Errors
    /// When there is no such region.
    pub fn of_region(text: &str) -> Result<Self, Error> {
        let host = host_of(text)?;
        let at = |prefix: &str| {
            Url::parse(&format!("https://{prefix}.{host}/")).map_err(|error| Error::Base {
                given: host.to_owned(),
                what: error.to_string(),
            })
        };
        Ok(Self {
            login: at("login")?,
            api: at("api")?,
        })
    }

    /// One address for both.
    ///
    /// # Errors
    /// When it is no HTTP URL, holds credentials, a query or a fragment, or is plain HTTP to another machine although
    /// `plain` does not allow it.
    pub fn of_url(text: &str, plain: bool) -> Result<Self, Error> {
        let wrong = |given: &str, what: &str| Error::Base {
            given: without_credentials(given),
            what: what.to_owned(),
        };
        let mut url = Url::parse(text).map_err(|error| Error::Base {
            given: without_credentials(text),
            what: error.to_string(),
        })?;
        let host = url.host_str().unwrap_or_default().to_owned();
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(&host, "credentials do not belong into an address"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(
                text,
                "a query or fragment does not belong into a base",
            ));
        }
        match url.scheme() {
            "https" => {}
            "http" if plain || is_local(&url) => {}
            "http" => return Err(Error::Plain(host)),
            _ => return Err(wrong(text, "only https:// and http:// are spoken")),
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self {
            login: url.clone(),
            api: url,
        })
    }
}

/// `path` below `base`.
#[must_use]
pub fn below<'a>(base: &Url, path: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

fn host_of(text: &str) -> Result<&'static str, Error> {
    let given = text.trim().to_ascii_lowercase();
    let bare = given
        .strip_prefix("https://")
        .unwrap_or(&given)
        .trim_end_matches('/');
    let bare = PREFIXES
        .iter()
        .find_map(|prefix| bare.strip_prefix(prefix))
        .unwrap_or(bare);
    let found = REGIONS.iter().find(|(region, host)| {
        let label = host
            .split('.')
            .next()
            .filter(|label| *label != "mypurecloud");
        let tutorial = bare.strip_suffix(".mypurecloud.com");
        bare == *region || bare == *host || label == Some(bare) || tutorial == Some(*region)
    });
    found.map(|(_, host)| *host).ok_or_else(|| Error::Region {
        given: without_credentials(text),
        hint: hint(bare),
    })
}

/// Two names this alike are meant to be the same.
const ALIKE: f64 = 0.75;

fn hint(bare: &str) -> String {
    let names = REGIONS.iter().flat_map(|(region, host)| [*region, *host]);
    let near = names
        .map(|name| (strsim::jaro_winkler(bare, name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None => {
            "write an AWS region like `eu-central-1` or a host like `mypurecloud.de`".to_owned()
        }
    }
}

/// What may be shown of a text that could be a URL with credentials in it.
fn without_credentials(text: &str) -> String {
    let shown = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    shown.chars().take(120).collect()
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_found_by_every_name_that_people_have_for_it() {
        for (name, host) in [
            ("us-east-1", "mypurecloud.com"),
            ("eu-central-1", "mypurecloud.de"),
            ("EU-Central-1", "mypurecloud.de"),
            ("mypurecloud.de", "mypurecloud.de"),
            ("api.mypurecloud.ie", "mypurecloud.ie"),
            ("https://login.mypurecloud.com.au/", "mypurecloud.com.au"),
            ("https://apps.usw2.pure.cloud", "usw2.pure.cloud"),
            ("usw2", "usw2.pure.cloud"),
            ("edee1", "edee1.eusc-pure.cloud"),
            ("us-east-1.mypurecloud.com", "mypurecloud.com"),
            ("use2.us-gov-pure.cloud", "use2.us-gov-pure.cloud"),
        ] {
            let bases = Bases::of_region(name).unwrap();
            assert_eq!(bases.api.as_str(), format!("https://api.{host}/"), "{name}");
            assert_eq!(
                bases.login.as_str(),
                format!("https://login.{host}/"),
                "{name}"
            );
        }
    }

    #[test]
    fn every_region_is_found_by_its_own_two_names() {
        for (region, host) in REGIONS {
            assert_eq!(host_of(region), Ok(host));
            assert_eq!(host_of(host), Ok(host));
        }
    }

    #[test]
    fn what_is_no_region_is_refused_with_the_nearest_name() {
        for (given, part) in [
            ("eu-central-3", "did you mean `eu-central-"),
            ("mypurecloud.dee", "did you mean `mypurecloud.de`"),
            ("mypurecloud.com.evil.example", "did you mean"),
            ("mypurecloud", "did you mean"),
            ("", "write an AWS region"),
            ("example.org", "write an AWS region"),
        ] {
            let error = Bases::of_region(given).unwrap_err().to_string();
            assert!(error.contains(part), "{given}: {error}");
        }
    }

    #[test]
    fn a_base_keeps_its_path_and_paths_go_below_it() {
        let bases = Bases::of_url("http://127.0.0.1:8081/x", false).unwrap();
        assert_eq!(
            below(&bases.login, ["oauth", "token"]).as_str(),
            "http://127.0.0.1:8081/x/oauth/token"
        );
        let bases = Bases::of_url("https://gateway.example", false).unwrap();
        assert_eq!(
            below(&bases.api, ["api", "v2", "webhooks", "a/b?c"]).as_str(),
            "https://gateway.example/api/v2/webhooks/a%2Fb%3Fc"
        );
    }

    #[test]
    fn a_base_that_would_give_the_secret_away_is_refused_without_showing_credentials() {
        for (given, plain, part) in [
            ("http://gateway.example/", false, "plain http"),
            ("http://10.0.0.1/", false, "plain http"),
            ("ftp://127.0.0.1/", true, "only https"),
            ("https://u:s3cret@gateway.example/", false, "credentials"),
            ("https://gateway.example/?a=1", false, "query"),
            ("u:s3cret@gateway", false, "cannot be the base"),
            ("127.0.0.1:8081", false, "cannot be the base"),
        ] {
            let error = Bases::of_url(given, plain).unwrap_err().to_string();
            assert!(error.contains(part), "{given}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
        for local in ["http://localhost:1", "http://[::1]:1", "http://127.8.9.1:1"] {
            assert!(Bases::of_url(local, false).is_ok(), "{local}");
        }
        assert!(Bases::of_url("http://gateway.example/", true).is_ok());
    }
}
