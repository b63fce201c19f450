//! What the macros make of whole programs: every mistake is one error, on the user's token, that says what to write
//! instead; and every form of `main` runs.
//!
//! After a change of words, `TRYBUILD=overwrite cargo test --test ui` writes what the compiler now says; read each change as
//! the user would who made the mistake.

#[test]
fn mistakes_are_errors_on_their_own_token_and_programs_run() {
    let programs = trybuild::TestCases::new();
    programs.compile_fail("tests/ui/*.rs");
    programs.pass("tests/entry/*.rs");
}
