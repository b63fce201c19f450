//! Whether an agent runs the same program as the driver: a task of another build could read its arguments as something else.

use std::fmt::Write;

use super::environment::{BuildRule, ClusterRole};
use crate::{functions, sys};

/// What two processes of a cluster compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProgramIdentity {
    /// The build id of the program's file, or a hash of the file, in hexadecimal digits.
    pub(crate) build: String,
    /// The hash of the table of worker functions.
    pub(crate) table: u64,
    /// The name of the machine.
    pub(crate) host: String,
    /// How the program was called, such as `./app`.
    pub(crate) program: String,
}

/// So much of a peer's text is shown.
const SHOWN_CHARS_MAX: usize = 64;
/// So much of a build id is shown.
const SHOWN_BUILD_CHARS: usize = 12;

impl ProgramIdentity {
    /// That of this process.
    ///
    /// # Errors
    ///
    /// The file has no build id, and cannot be read.
    pub(crate) fn own() -> Result<Self, String> {
        let build = sys::build_id().map_err(|error| format!("could not identify this program: {error}"))?;
        let build = hexadecimal(build);
        let program = std::env::args_os().next().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { build, table: functions::fingerprint(), host: sys::host_name(), program })
    }

    /// Checks, in the driver or the agent (`here`), that the peer may work with this process. The error is what both print.
    pub(crate) fn check(&self, peer: &Self, here: ClusterRole, rule: BuildRule) -> Result<(), String> {
        let (driver, agent) = match here {
            ClusterRole::Driver => (self, peer),
            ClusterRole::Agent => (peer, self),
        };
        let (host, program) = (shown(&agent.host), shown(&agent.program));
        if self.table != peer.table {
            return Err(format!(
                "agent {host} refused: its {program} has other worker functions ({:016x}) than the driver's ({:016x}) (build both from the \
                 same source)",
                agent.table, driver.table,
            ));
        }
        if rule == BuildRule::SameFile && self.build != peer.build {
            return Err(format!(
                "agent {host} refused: its {program} is build {}, the driver's is {} (copy the same file to every node)",
                shown_build(&agent.build),
                shown_build(&driver.build),
            ));
        }
        Ok(())
    }

    /// The build as it is shown to people.
    pub(crate) fn shown_build(&self) -> String {
        shown_build(&self.build)
    }
}

fn shown_build(build: &str) -> String {
    let short: String = shown(build).chars().take(SHOWN_BUILD_CHARS).collect();
    if short.len() < build.len() { format!("{short}..") } else { short }
}

/// A peer's text, as it can be shown.
fn shown(text: &str) -> String {
    let printable = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
    text.chars().take(SHOWN_CHARS_MAX).map(printable).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(build: &str, table: u64, host: &str) -> ProgramIdentity {
        ProgramIdentity { build: build.to_owned(), table, host: host.to_owned(), program: "./app".to_owned() }
    }

    #[test]
    fn another_build_is_refused_with_the_same_words_on_both_sides() {
        let driver = identity("21bc00112233445566", 5, "node1");
        let agent = identity("8f3a00112233445566", 5, "node17");
        let said = driver.check(&agent, ClusterRole::Driver, BuildRule::SameFile).unwrap_err();
        assert_eq!(said, agent.check(&driver, ClusterRole::Agent, BuildRule::SameFile).unwrap_err());
        assert_eq!(
            said,
            "agent node17 refused: its ./app is build 8f3a00112233.., the driver's is 21bc00112233.. (copy the same file to every node)"
        );
        assert_eq!(driver.check(&agent, ClusterRole::Driver, BuildRule::SameFunctions), Ok(()));
    }

    #[test]
    fn other_functions_are_refused_by_both_rules() {
        let (driver, agent) = (identity("1", 5, "a"), identity("1", 6, "b"));
        for rule in [BuildRule::SameFile, BuildRule::SameFunctions] {
            assert!(driver.check(&agent, ClusterRole::Driver, rule).unwrap_err().contains("other worker functions"));
        }
    }

    #[test]
    fn what_a_peer_says_is_shown_without_harm() {
        let driver = identity("1", 5, "a");
        let agent = identity(&"\u{1b}[2J".repeat(1000), 5, &"\n".repeat(1000));
        let said = driver.check(&agent, ClusterRole::Driver, BuildRule::SameFile).unwrap_err();
        assert!(said.len() < 500 && !said.contains(char::is_control), "{said}");
    }

    #[test]
    fn this_program_is_itself_and_has_a_name() {
        let own = ProgramIdentity::own().unwrap();
        assert_eq!(own.check(&ProgramIdentity::own().unwrap(), ClusterRole::Driver, BuildRule::SameFile), Ok(()));
        assert!(own.build.len() >= 16 && !own.host.is_empty() && own.shown_build().ends_with(".."), "{own:?}");
    }
}
