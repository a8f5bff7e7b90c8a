//! Failures, addresses, paths and lines, without a gateway.

use switchhook_wire::problem::{Body, Kind};

use super::*;

#[test]
fn every_refusal_ends_the_process_with_the_code_of_its_kind() {
    for (kind, code) in [
        (Kind::Unauthorized, Code::Denied),
        (Kind::NotFound, Code::NotFound),
        (Kind::OwnedByFile, Code::Conflict),
        (Kind::PreconditionFailed, Code::Conflict),
        (Kind::InvalidResource, Code::Invalid),
        (Kind::InvalidRequest, Code::Invalid),
        (Kind::StoreFull, Code::Unavailable),
        (Kind::Internal, Code::Unavailable),
        (Kind::MethodNotAllowed, Code::Unexpected),
    ] {
        let failure = Failure::from(Error::Refused(Box::new(Body::new(kind, "x"))));
        assert_eq!(failure.code, code, "{kind:?}");
    }
}

#[test]
fn an_address_with_credentials_is_refused_and_not_repeated() {
    for scheme in ["http", "https"] {
        let server = format!("{scheme}://ops:hunter2@127.0.0.1:1");
        let Err(error) = Client::new(&server, None, &Trust::Machine) else {
            panic!("it was taken");
        };
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    for wrong in ["127.0.0.1:8081", "ftp://127.0.0.1", "file:///x", ""] {
        assert!(
            Client::new(wrong, None, &Trust::Machine).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn a_file_without_a_certificate_is_nobody_to_trust() {
    for text in [
        "",
        "no PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let trust = Trust::Pem(text.to_owned());
        assert!(
            Client::new("https://127.0.0.1:1", None, &trust).is_err(),
            "{text}"
        );
        assert!(
            Client::new("http://127.0.0.1:1", None, &trust).is_ok(),
            "{text}"
        );
    }
}

#[test]
fn names_are_escaped_in_paths_and_queries() {
    let client = Client::new("http://127.0.0.1:1/", None, &Trust::Machine).unwrap();
    let url = client.url(&["v1", "endpoints", "a/b?c"]);
    assert_eq!(url.as_str(), "http://127.0.0.1:1/v1/endpoints/a%2Fb%3Fc");
    let query = serde_json::json!({"type": "a b&c", "pageSize": 5, "key": null});
    let url = with_query(client.url(&["v1", "deadLetters:replay"]), &query);
    assert_eq!(
        url.as_str(),
        "http://127.0.0.1:1/v1/deadLetters:replay?pageSize=5&type=a+b%26c"
    );
}

#[test]
fn lines_are_cut_where_they_end_however_they_arrive() {
    let mut pending = b"one\r\ntwo\n\nthr".to_vec();
    let mut next = |ended| take_line(&mut pending, ended);
    assert_eq!(next(false).as_deref(), Some("one"));
    assert_eq!(next(false).as_deref(), Some("two"));
    assert_eq!(next(false).as_deref(), Some(""));
    assert_eq!(next(false), None);
    assert_eq!(next(true).as_deref(), Some("thr"));
    assert_eq!(next(true), None);
}
