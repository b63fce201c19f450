//! The names of subjects, streams, buckets and messages. The build and the session are parts of a subject, so an agent of another build
//! never sees a work.

use super::options::NatsOptions;
use crate::cluster::environment::BuildRule;
use crate::error::{Error, Result};
use crate::sys;

/// The name of the consumer by which all agents pull works.
pub(super) const CONSUMER: &str = "agents";
/// The header with a message's id, by which the server knows what it has already.
pub(super) const MESSAGE_ID: &str = "Nats-Msg-Id";
/// So many hexadecimal digits of a build are in a subject.
const BUILD_DIGITS: usize = 16;

/// The names of one program in one namespace.
#[derive(Clone, Debug)]
pub(super) struct ProgramNames {
    pub(super) namespace: String,
    pub(super) build: String,
}

/// The names of a session.
#[derive(Clone, Debug)]
pub(super) struct SessionNames {
    pub(super) program: ProgramNames,
    pub(super) session: String,
}

impl ProgramNames {
    pub(super) fn new(options: &NatsOptions) -> Self {
        let build = match options.rule {
            BuildRule::SameFile => options.identity.build.clone(),
            BuildRule::SameFunctions => format!("{:016x}", options.identity.table),
        };
        Self { namespace: options.namespace.clone(), build: token(&build) }
    }

    pub(super) fn session(&self, session: &str) -> SessionNames {
        SessionNames { program: self.clone(), session: session.to_owned() }
    }

    /// The bucket of the running sessions.
    pub(super) fn bucket(&self) -> String {
        format!("{}-SESSIONS", self.namespace)
    }

    /// The subjects of the keys of this build's sessions.
    pub(super) fn keys(&self) -> String {
        format!("$KV.{}.{}.*", self.bucket(), self.build)
    }

    /// The subjects of the keys of all sessions.
    pub(super) fn all_keys(&self) -> String {
        format!("$KV.{}.>", self.bucket())
    }

    /// Where agents that find no session say so.
    pub(super) fn hello(&self) -> String {
        format!("{}.any.hello", self.namespace)
    }

    /// Where an agent hears that it is refused.
    pub(super) fn refusal(&self, agent: u64) -> String {
        format!("{}.any.refused.{agent:016x}", self.namespace)
    }

    /// What drivers of this build tell all of their agents.
    pub(super) fn control(&self) -> String {
        format!("{}.{}.*.ctl", self.namespace, self.build)
    }

    /// What the names of streams of works, of results, and of large bodies begin with; a session's identity follows.
    pub(super) fn stream_prefixes(&self) -> [String; 3] {
        let namespace = &self.namespace;
        [format!("{namespace}-W-"), format!("{namespace}-R-"), format!("{namespace}-O-")]
    }
}

impl SessionNames {
    fn subject(&self, what: &str) -> String {
        let Self { program: ProgramNames { namespace, build }, session } = self;
        format!("{namespace}.{build}.{session}.{what}")
    }

    pub(super) fn works(&self) -> String {
        self.subject("w")
    }

    pub(super) fn results(&self) -> String {
        self.subject("r")
    }

    pub(super) fn beats(&self) -> String {
        self.subject("beat")
    }

    pub(super) fn control(&self) -> String {
        self.subject("ctl")
    }

    pub(super) fn work_stream(&self) -> String {
        format!("{}-W-{}", self.program.namespace, self.session)
    }

    pub(super) fn result_stream(&self) -> String {
        format!("{}-R-{}", self.program.namespace, self.session)
    }

    /// The stream of bodies that are too large for a message.
    pub(super) fn bodies_stream(&self) -> String {
        format!("{}-O-{}", self.program.namespace, self.session)
    }

    /// The subjects of all their parts.
    pub(super) fn body_parts(&self) -> String {
        self.subject("o.>")
    }

    /// The subject of a part of one.
    pub(super) fn body_part(&self, name: &str, part: &str) -> String {
        self.subject(&format!("o.{name}.{part}"))
    }

    /// The key of the session in the bucket.
    pub(super) fn key(&self) -> String {
        format!("{}.{}", self.program.build, self.session)
    }

    /// The message id of a send of a work.
    pub(super) fn work_id(&self, work: u64, send: u64) -> String {
        format!("{}.{work}.{send}", self.session)
    }

    /// The work and the send that a message id of this session says.
    pub(super) fn read_work_id(&self, id: &str) -> Option<(u64, u64)> {
        let (work, send) = id.strip_prefix(&self.session)?.strip_prefix('.')?.split_once('.')?;
        Some((work.parse().ok()?, send.parse().ok()?))
    }
}

/// Sixteen random digits.
pub(super) fn identity() -> Result<String> {
    Ok(format!("{:016x}", random_number()?))
}

/// Whether a text is the identity of a session.
pub(super) fn is_identity(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn random_number() -> Result<u64> {
    let mut bytes = [0; 8];
    sys::random(&mut bytes).map_err(|error| Error::start(sys::start_error("a session of the cluster", &error)))?;
    Ok(u64::from_le_bytes(bytes))
}

/// A build as a part of a subject: its first digits where it is a hexadecimal number, and a hash of it elsewhere.
fn token(build: &str) -> String {
    match build.get(..BUILD_DIGITS) {
        Some(first) if first.bytes().all(|byte| byte.is_ascii_hexdigit()) => first.to_ascii_lowercase(),
        _ => {
            // FNV-1a, which is the same on every machine.
            let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            format!("{:016x}", build.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> SessionNames {
        ProgramNames { namespace: "pm".into(), build: token("8f3a00000000000099") }.session("5e")
    }

    #[test]
    fn a_message_id_is_read_as_it_was_written_and_no_other_is() {
        let names = names();
        assert_eq!(names.read_work_id(&names.work_id(7, 9)), Some((7, 9)));
        for other in ["", "5e", "5e.7", "5e.7.", "5e.a.1", "5f.7.9", "5e7.9", "5e.7.9.1"] {
            assert_eq!(names.read_work_id(other), None, "{other}");
        }
    }

    #[test]
    fn a_build_is_a_part_of_a_subject_whatever_it_is() {
        assert_eq!(names().works(), "pm.8f3a000000000000.5e.w");
        for build in ["", "8f", "a b", "x.y.*.>", "0123456789abcdeg", "ääääääääääääääää"] {
            let token = token(build);
            assert!(token.len() == 16 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
        }
    }
}
