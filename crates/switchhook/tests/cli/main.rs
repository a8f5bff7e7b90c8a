//! What people see: transcripts of commands that need no gateway, compared to the letter.
//!
//! Each `*.trycmd` file is a promise about one group of commands. After a wanted change, run the tests with
//! `TRYCMD=overwrite` and read the difference.

#[test]
fn every_transcript_is_what_the_program_says() {
    trycmd::TestCases::new()
        .env("NO_COLOR", "1")
        .env("SWITCHHOOK_SERVER", "http://127.0.0.1:1")
        .case("tests/cli/*.trycmd");
}
