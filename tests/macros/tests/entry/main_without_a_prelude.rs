//! A crate without a prelude.

#![no_implicit_prelude]

#[::poolmap::worker]
fn show(x: i64, y: &str) -> ::std::string::String {
    ::std::format!("{x}{y}")
}

#[::poolmap::main]
fn main() -> ::poolmap::Result<()> {
    let texts: ::std::vec::Vec<::std::string::String> = ::poolmap::pool_map!(show, [1], ["a"])?;
    ::std::assert_eq!(texts, ["1a"]);
    ::core::result::Result::Ok(())
}
