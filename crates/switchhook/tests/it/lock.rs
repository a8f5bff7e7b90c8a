//! Promise: one process owns a data directory.

use crate::harness::{SOURCE, Site};

#[test]
fn a_second_process_on_the_same_directory_says_so_and_ends() {
    let site = Site::new(SOURCE);
    let first = site.start();
    let (code, words) = site.spawn().wait();
    assert_eq!(code, Some(5), "{words}");
    let data = site.data();
    assert!(
        words.contains(data.to_str().unwrap()) && words.contains("in use by another process"),
        "{words}"
    );
    assert_eq!(
        first.get("/v1/version")["store"],
        "embedded",
        "the first goes on"
    );
    first.kill();
    site.start();
}
