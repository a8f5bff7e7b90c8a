//! Lookup of names, with every address judged by the guard where that is asked for.
//!
//! The management API is where the operator says it is, so its addresses are not judged. The target of a webhook is not
//! ours: a probe of it goes only where the gateway would go too. A refused address is left out; if none is left, the
//! lookup fails with the reason.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use ipnet::IpNet;
use switchhook_core::guard::{Blocked, check_address, check_plain_address};
use tower_service::Service;

/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    system: GaiResolver,
    guard: Option<Guard>,
}

/// Which addresses are allowed.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    /// Without TLS: only listed addresses.
    pub(crate) plain: bool,
    /// Private addresses that are meant.
    pub(crate) allow: Arc<[IpNet]>,
}

impl Names {
    pub(crate) fn unjudged() -> Self {
        Self {
            system: GaiResolver::new(),
            guard: None,
        }
    }

    pub(crate) fn judged(guard: Guard) -> Self {
        Self {
            system: GaiResolver::new(),
            guard: Some(guard),
        }
    }
}

impl Guard {
    fn check(&self, address: SocketAddr) -> Result<(), Blocked> {
        if self.plain {
            check_plain_address(address.ip(), &self.allow)
        } else {
            check_address(address.ip(), &self.allow)
        }
    }

    fn keep(&self, found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let (mut kept, mut refused) = (Vec::new(), None);
        for address in found.take(ADDRESSES_MAX) {
            match self.check(address) {
                Ok(()) => kept.push(address),
                Err(blocked) => refused = Some(blocked),
            }
        }
        match refused {
            Some(blocked) if kept.is_empty() => Err(io::Error::other(blocked.to_string())),
            Some(_) | None => Ok(kept),
        }
    }
}

impl Service<Name> for Names {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.system.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, guard) = (self.system.call(name), self.guard.clone());
        Box::pin(async move {
            let found = found.await?;
            let kept = match guard {
                Some(guard) => guard.keep(found)?,
                None => found.take(ADDRESSES_MAX).collect(),
            };
            Ok(kept.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(plain: bool, allow: &[&str], found: &[&str]) -> Result<usize, String> {
        let allow = allow.iter().map(|net| net.parse().unwrap()).collect();
        let found = found
            .iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), 443));
        Guard { plain, allow }
            .keep(found)
            .map(|kept| kept.len())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_that_points_inside_is_not_connected_to() {
        assert_eq!(keep(false, &[], &["93.184.216.34", "10.0.0.1"]), Ok(1));
        assert!(
            keep(false, &[], &["10.0.0.1", "::1"])
                .unwrap_err()
                .contains("loopback")
        );
        assert_eq!(keep(false, &["10.0.0.0/8"], &["10.0.0.1"]), Ok(1));
        assert!(
            keep(true, &[], &["93.184.216.34"])
                .unwrap_err()
                .contains("plain http")
        );
        assert_eq!(keep(true, &["93.184.216.34/32"], &["93.184.216.34"]), Ok(1));
    }
}
