//! Reads the values of environment variables. Each error names the variable, its value and the values that are allowed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::snapshot::EnvironmentSnapshot;
use crate::error::{Error, Result};

/// The longest time that a variable may name.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A text of a variable, if it is set and not empty.
pub(super) fn text(variables: &EnvironmentSnapshot, name: &str, allowed: &str) -> Result<Option<String>> {
    let Some(value) = variables.get(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    match value.to_str().filter(|text| !text.chars().any(char::is_control)) {
        Some(text) => Ok(Some(text.to_owned())),
        None => Err(refused(name, allowed, &value.to_string_lossy())),
    }
}

/// A time, as `500ms`, `10s`, `5m`, or a number of seconds.
pub(super) fn duration(variables: &EnvironmentSnapshot, name: &str) -> Result<Option<Duration>> {
    const ALLOWED: &str = "a time such as 500ms, 10s, 5m or 30 (seconds), more than zero and at most a year";
    let Some(value) = text(variables, name, ALLOWED)? else { return Ok(None) };
    parse_duration(&value).map(Some).ok_or_else(|| refused(name, ALLOWED, &value))
}

/// A whole number in a range.
pub(super) fn number(
    variables: &EnvironmentSnapshot,
    name: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<Option<usize>> {
    let allowed = format!("a whole number from {} to {}", range.start(), range.end());
    let Some(value) = text(variables, name, &allowed)? else { return Ok(None) };
    let number = value.trim().parse().ok().filter(|number| range.contains(number));
    number.map(Some).ok_or_else(|| refused(name, &allowed, &value))
}

/// One of some words, by its meaning.
pub(super) fn choice<T: Copy>(variables: &EnvironmentSnapshot, name: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let allowed = words.join(" or ");
    let Some(value) = text(variables, name, &allowed)? else { return Ok(None) };
    let chosen = choices.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning);
    chosen.map(Some).ok_or_else(|| refused(name, &allowed, &value))
}

/// The path of a file, which need not be there.
pub(super) fn path(variables: &EnvironmentSnapshot, name: &str) -> Option<PathBuf> {
    raw(variables, name).map(PathBuf::from)
}

/// The value as it is, if it is set and not empty.
pub(super) fn raw(variables: &EnvironmentSnapshot, name: &str) -> Option<OsString> {
    variables.get(name).filter(|value| !value.is_empty()).map(OsString::from)
}

/// The error of a variable with a value that is not allowed. A secret in front of an `@`, as in an address, is not shown.
pub(super) fn refused(name: &str, allowed: &str, value: &str) -> Error {
    Error::invalid_option(format!("`{name}` must be {allowed}, got {:?}", without_secrets(value)))
}

/// The text without what stands in front of the last `@`, which in an address are a user and a password.
pub(super) fn without_secrets(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}...@{after}")
        }
        None => text.to_owned(),
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|char: char| char.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let time = match unit {
        "ms" => Duration::from_millis(number),
        "" | "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    (time > Duration::ZERO && time <= TIME_MAX).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_plain_numbers_are_seconds() {
        let good = [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("30", 30_000), (" 7s ", 7000)];
        for (text, milliseconds) in good {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        let bad = [
            "",
            "0",
            "0s",
            "s",
            "-1",
            "1.5",
            "1 s",
            "1h",
            "1S",
            "٣s",
            "99999999999999999999",
            "999999999m",
            "18446744073709551615m",
        ];
        for text in bad {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn an_error_names_variable_value_and_what_is_allowed_but_no_secret() {
        let variables = EnvironmentSnapshot::of(&[("POOLMAP_LEASE", "soon"), ("N", "70000"), ("EMPTY", "")]);
        let said = duration(&variables, "POOLMAP_LEASE").unwrap_err().to_string();
        assert!(said.contains("`POOLMAP_LEASE`") && said.contains("\"soon\"") && said.contains("500ms"), "{said}");
        let said = number(&variables, "N", 1..=65536).unwrap_err().to_string();
        assert!(said.contains("1 to 65536") && said.contains("70000"), "{said}");
        assert_eq!(duration(&variables, "EMPTY").unwrap(), None);
        assert_eq!(number(&variables, "ABSENT", 0..=1).unwrap(), None);
        assert_eq!(without_secrets("nats://me:pw@host:4222"), "nats://...@host:4222");
        assert_eq!(without_secrets("me:p@w@host"), "...@host");
    }
}
