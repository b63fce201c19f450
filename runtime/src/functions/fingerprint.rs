//! The table of worker functions as another program sees it: a fingerprint to compare, and a text that shows what differs. It knows
//! nothing of how they travel.
//!
//! 1. The text has a line for the build and one for each function, in the order of the table.
//! 2. The fingerprint is a hash of the text, by an algorithm of our own: std's may differ between two versions of the compiler.
//! 3. A type is compared by its name. A field or a body that has changed is not seen.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::OnceLock;

use super::table::{Description, Registration, table};

/// So many functions are named in an error, of each kind.
const NAMED_MAX: usize = 3;
/// A line of another program is shown up to here.
const LINE_CHARS_MAX: usize = 200;

/// A hash of the table, equal in two processes that have the same worker functions.
pub(crate) fn fingerprint() -> u64 {
    static FINGERPRINT: OnceLock<u64> = OnceLock::new();
    *FINGERPRINT.get_or_init(|| {
        let mut hash = Fnv::new();
        write_table(&mut hash).expect("a hash takes any text");
        hash.0
    })
}

/// The text of the table.
pub(crate) fn table_text() -> String {
    let mut text = String::new();
    write_table(&mut text).expect("a string takes any text");
    text
}

/// A worker function that has the name, the types and the place of another, as a macro can write them: two programs may have
/// them in different orders.
pub(crate) fn ambiguous_function() -> Option<&'static str> {
    let descriptions: Vec<Description> = table().iter().map(|registration| registration.description()).collect();
    descriptions.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].path)
}

/// Says in what the table of another program, whose text is `theirs`, differs from that of this one.
pub(crate) fn table_difference(theirs: &str) -> String {
    difference(&table_text(), theirs)
}

fn write_table(to: &mut impl Write) -> fmt::Result {
    let width = usize::BITS;
    let order = if cfg!(target_endian = "little") { "little" } else { "big" };
    let memory = if cfg!(poolmap_linux) { "shared memory" } else { "sockets" };
    writeln!(to, "poolmap {}, {width} bits, {order}-endian, {memory}", env!("CARGO_PKG_VERSION"))?;
    for registration in table() {
        write_function(to, registration)?;
    }
    Ok(())
}

fn write_function(to: &mut impl Write, registration: &'static Registration) -> fmt::Result {
    let Description { path, version, file, line, column, parameters, output, .. } = registration.description();
    writeln!(to, "{path}\t{parameters} -> {output} at {file}:{line}:{column}, version {version}")
}

/// The line of a worker function.
pub(crate) fn function_text(registration: &'static Registration) -> String {
    let mut text = String::new();
    write_function(&mut text, registration).expect("a string takes any text");
    text
}

/// The worker function whose line this is.
pub(crate) fn function_of_text(text: &str) -> Option<&'static Registration> {
    table().iter().copied().find(|registration| function_text(registration) == text)
}

fn difference(ours: &str, theirs: &str) -> String {
    let (our_build, our_functions) = ours.split_once('\n').unwrap_or((ours, ""));
    let (their_build, their_functions) = theirs.split_once('\n').unwrap_or((theirs, ""));
    if our_build != their_build {
        return format!("it is built for {}, and this program for {our_build}", shown(their_build));
    }
    let our_lines: BTreeSet<&str> = our_functions.lines().collect();
    let their_lines: BTreeSet<&str> = their_functions.lines().collect();
    let name = |line: &&str| line.split_once('\t').map_or(*line, |(name, _)| name).to_owned();
    let their_names: BTreeSet<String> = their_lines.iter().map(name).collect();
    let our_names: BTreeSet<String> = our_lines.iter().map(name).collect();
    let changed = our_lines.difference(&their_lines).filter(|line| their_names.contains(&name(line))).map(|line| {
        let name = name(line);
        let of_name = |theirs: &&&str| theirs.split_once('\t').is_some_and(|(other, _)| other == name);
        let there = their_lines.difference(&our_lines).find(of_name).map_or("the same more than once", |line| *line);
        let after_name = |line: &str| line.split_once('\t').map_or_else(|| shown(line), |(_, rest)| shown(rest));
        format!("`{name}` is {} there and {} here", after_name(there), after_name(line))
    });
    let lacking = our_names.difference(&their_names).map(|name| format!("`{}`", shown(name)));
    let more = their_names.difference(&our_names).map(|name| format!("`{}`", shown(name)));
    let parts = [("it lacks ", lacking.collect()), ("it has also ", more.collect()), ("", changed.collect())];
    let parts = parts.into_iter().filter(|(_, items): &(_, Vec<String>)| !items.is_empty());
    let parts: Vec<String> = parts.map(|(what, items)| format!("{what}{}", some_of(&items))).collect();
    if parts.is_empty() { "its worker functions are in another order".to_owned() } else { parts.join("; ") }
}

fn some_of(items: &[String]) -> String {
    let shown = items.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A text of another program, as it can be shown.
fn shown(text: &str) -> String {
    let printable = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
    text.chars().take(LINE_CHARS_MAX).map(printable).collect()
}

/// The hash FNV-1a.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: &str = "poolmap 1, 64 bits";

    fn differ(ours: &str, theirs: &str) -> String {
        difference(&format!("{BUILD}\n{ours}"), &format!("{BUILD}\n{theirs}"))
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        // By the algorithm's own list of values.
        for (text, expected) in [("", 0xcbf2_9ce4_8422_2325), ("foobar", 0x8594_4171_f739_67e8)] {
            let mut hash = Fnv::new();
            hash.write_str(text).unwrap();
            assert_eq!(hash.0, expected);
        }
    }

    #[test]
    fn a_difference_names_what_is_missing_and_what_is_more() {
        assert_eq!(differ("a::f\tfn()", "a::f\tfn()\na::g\tfn()"), "it has also `a::g`");
        assert_eq!(differ("a::f\tfn()\na::g\tfn()", "a::g\tfn()"), "it lacks `a::f`");
        assert_eq!(differ("a::f\tfn()", "b::f\tfn()"), "it lacks `a::f`; it has also `b::f`");
        let many: String = (0..9).map(|number| format!("a::f{number}\tfn()\n")).collect();
        assert_eq!(differ(&many, ""), "it lacks `a::f0`, `a::f1`, `a::f2` and 6 more");
    }

    #[test]
    fn a_difference_names_both_forms_of_a_function_and_both_builds() {
        let said = differ("a::f\tfn(u8) at a.rs:1:1", "a::f\tfn(u16) at a.rs:1:1");
        assert_eq!(said, "`a::f` is fn(u16) at a.rs:1:1 there and fn(u8) at a.rs:1:1 here");
        let said = difference("poolmap 1\nf", "poolmap 2\nf");
        assert_eq!(said, "it is built for poolmap 2, and this program for poolmap 1");
        assert_eq!(differ("b\tx\na\tx", "a\tx\nb\tx"), "its worker functions are in another order");
    }

    #[test]
    fn a_text_of_another_program_is_bounded_and_without_control_characters() {
        let said = differ("", &format!("\u{1b}[2J{}", "x".repeat(100_000)));
        assert!(said.len() < 1000 && !said.contains('\u{1b}'), "{said}");
        assert_eq!(differ("a\tx", ""), "it lacks `a`");
    }

    #[test]
    fn the_table_of_this_program_is_its_own() {
        assert_eq!(table_difference(&table_text()), "its worker functions are in another order");
        assert!(table_text().starts_with(concat!("poolmap ", env!("CARGO_PKG_VERSION"))));
        assert_eq!(ambiguous_function(), None);
    }
}
