//! More event types than one webhook may have, spread over several endpoints. Pure.
//!
//! The affinity is that of seed 001: the n-th event type belongs to endpoint n modulo their number, in the order given.
//! The same list gives the same parts; a type that is added at the end moves no other. Each part has a name with a
//! suffix, so that applying the list again finds the webhooks that it made. What cannot fit is refused as a whole: half a
//! subscription is a silent loss.

use switchhook_wire::dialect::TYPES_MAX as EVENT_TYPES_MAX;
use url::Url;

/// Most endpoints of a pool: more parts than this nobody can oversee.
pub const POOL_MAX: usize = 64;

/// One webhook of several that stand for one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The subscription's name, with a suffix where there are several parts.
    pub name: String,
    /// Its endpoint.
    pub endpoint: Url,
    /// Its event types, in the order given; between 1 and [`EVENT_TYPES_MAX`].
    pub event_types: Vec<String>,
}

/// Why a subscription cannot be spread.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No endpoint.
    #[error("there is no endpoint to send to: give one")]
    NoEndpoint,
    /// No event type.
    #[error("there is no event type: give at least one")]
    NoEventType,
    /// The same endpoint twice: two webhooks would send the same way and look like one.
    #[error("endpoint {0} stands in the pool twice")]
    Twice(Url),
    /// Too many endpoints.
    #[error("the pool has {0} endpoints, at most {POOL_MAX} are allowed")]
    Pool(usize),
    /// Too many event types.
    #[error(
        "{event_types} event types do not fit: {endpoints} endpoint(s) take {EVENT_TYPES_MAX} each, so give at least {needed} endpoints"
    )]
    TooMany {
        /// Their number.
        event_types: usize,
        /// Endpoints in the pool.
        endpoints: usize,
        /// Endpoints that would do.
        needed: usize,
    },
}

/// Spreads `event_types` over `pool`. Endpoints that would get none are left out.
///
/// # Errors
/// When it does not fit.
pub fn spread(name: &str, event_types: &[String], pool: &[Url]) -> Result<Vec<Part>, Error> {
    if event_types.is_empty() {
        return Err(Error::NoEventType);
    }
    if pool.len() > POOL_MAX {
        return Err(Error::Pool(pool.len()));
    }
    if pool.is_empty() {
        return Err(Error::NoEndpoint);
    }
    let twice = pool
        .iter()
        .enumerate()
        .find(|(at, url)| pool.iter().take(*at).any(|other| other == *url));
    if let Some((_, url)) = twice {
        return Err(Error::Twice(url.clone()));
    }
    if event_types.len() > pool.len() * EVENT_TYPES_MAX {
        return Err(Error::TooMany {
            event_types: event_types.len(),
            endpoints: pool.len(),
            needed: event_types.len().div_ceil(EVENT_TYPES_MAX),
        });
    }
    let parts = pool.iter().enumerate().take(event_types.len());
    Ok(parts
        .map(|(at, endpoint)| Part {
            name: if pool.len() == 1 {
                name.to_owned()
            } else {
                part_name(name, at + 1)
            },
            endpoint: endpoint.clone(),
            event_types: event_types
                .iter()
                .skip(at)
                .step_by(pool.len())
                .cloned()
                .collect(),
        })
        .collect())
}

/// The name of part `number`, which counts from 1.
#[must_use]
pub fn part_name(name: &str, number: usize) -> String {
    format!("{name}-{number}")
}

/// The number of the part that `candidate` is of the subscription `name`, if it is called like one.
#[must_use]
pub fn part_number(name: &str, candidate: &str) -> Option<usize> {
    let number = candidate.strip_prefix(name)?.strip_prefix('-')?;
    let is_plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pool(n: usize) -> Vec<Url> {
        (0..n)
            .map(|at| format!("https://e{at}.example/hook").parse().unwrap())
            .collect()
    }

    fn types(n: usize) -> Vec<String> {
        (0..n).map(|at| format!("type.{at}")).collect()
    }

    #[test]
    fn the_nth_type_goes_to_endpoint_n_modulo_their_number() {
        let parts = spread("a", &types(5), &pool(2)).unwrap();
        let shown: Vec<_> = parts
            .iter()
            .map(|part| {
                (
                    part.name.as_str(),
                    part.endpoint.as_str(),
                    part.event_types.join(" "),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (
                    "a-1",
                    "https://e0.example/hook",
                    "type.0 type.2 type.4".to_owned()
                ),
                ("a-2", "https://e1.example/hook", "type.1 type.3".to_owned()),
            ]
        );
    }

    #[test]
    fn one_endpoint_keeps_the_name_as_it_is() {
        let parts = spread("a", &types(15), &pool(1)).unwrap();
        assert_eq!((parts.len(), parts[0].name.as_str()), (1, "a"));
    }

    #[test]
    fn what_cannot_fit_is_refused_with_what_would_do() {
        let error = spread("a", &types(31), &pool(2)).unwrap_err();
        assert_eq!(
            error,
            Error::TooMany {
                event_types: 31,
                endpoints: 2,
                needed: 3
            }
        );
        assert!(
            error.to_string().contains("at least 3 endpoints"),
            "{error}"
        );
        assert_eq!(spread("a", &[], &pool(2)), Err(Error::NoEventType));
        assert_eq!(spread("a", &types(1), &[]), Err(Error::NoEndpoint));
        assert_eq!(spread("a", &types(1), &pool(65)), Err(Error::Pool(65)));
        let twice = [pool(1), pool(1)].concat();
        assert_eq!(
            spread("a", &types(1), &twice),
            Err(Error::Twice(twice[0].clone()))
        );
    }

    #[test]
    fn a_part_is_known_by_its_name() {
        for (candidate, number) in [
            ("a-1", Some(1)),
            ("a-12", Some(12)),
            ("a", None),
            ("a-", None),
            ("a-01", None),
            ("a-+1", None),
            ("b-1", None),
            ("a-b-1", None),
        ] {
            assert_eq!(part_number("a", candidate), number, "{candidate}");
        }
    }

    proptest! {
        #[test]
        fn every_type_is_in_one_part_and_no_part_is_too_large(n in 1_usize..200, endpoints in 1_usize..16) {
            let (types, pool) = (types(n), pool(endpoints));
            match spread("a", &types, &pool) {
                Ok(parts) => {
                    let mut all: Vec<_> = parts.iter().flat_map(|part| part.event_types.clone()).collect();
                    all.sort();
                    let mut wanted = types.clone();
                    wanted.sort();
                    prop_assert_eq!(all, wanted);
                    prop_assert!(parts.iter().all(|part| (1..=EVENT_TYPES_MAX).contains(&part.event_types.len())));
                    let (most, least) = (parts.iter().map(|part| part.event_types.len()).max(), parts.iter().map(|part| part.event_types.len()).min());
                    prop_assert!(most.unwrap() - least.unwrap() <= 1);
                }
                Err(error) => {
                    let too_many = matches!(error, Error::TooMany { .. });
                    prop_assert!(n > endpoints * EVENT_TYPES_MAX && too_many);
                }
            }
        }

        #[test]
        fn a_type_that_is_added_at_the_end_moves_no_other(n in 1_usize..60, endpoints in 5_usize..8) {
            let before = spread("a", &types(n), &pool(endpoints)).unwrap();
            let after = spread("a", &types(n + 1), &pool(endpoints)).unwrap();
            for (old, new) in before.iter().zip(&after) {
                prop_assert!(new.event_types.starts_with(&old.event_types));
            }
        }
    }
}
