//! stub
use std::net::IpAddr;
use ipnet::IpNet;
use url::Url;
/// Why an address or URL is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Blocked(pub String);
/// Whether a connection to `address` may be made.
/// # Errors
/// When it is in a forbidden range that `allow` does not list.
pub fn check_address(address: IpAddr, allow: &[IpNet]) -> Result<(), Blocked> { let _ = (address, allow); Ok(()) }
/// Whether an endpoint may have this URL.
/// # Errors
/// When scheme, port, user information, fragment or a literal address is refused.
pub fn check_url(url: &Url, allow: &[IpNet]) -> Result<(), Blocked> { let _ = (url, allow); Ok(()) }
