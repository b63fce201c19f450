//! The needs of a pool's tasks beyond a strict sandbox, and the line of a builder that opens just that.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The need of a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    Write(PathBuf),
    /// A path, and the call that was for it.
    Read(PathBuf, String),
    Port(u16),
    /// So many threads at once.
    Threads(u64),
    Call(String),
}

impl Need {
    /// It as a line.
    #[cfg_attr(not(poolmap_sandbox), allow(dead_code, reason = "nothing is noted"))]
    pub(super) fn to_line(&self) -> String {
        let text = |path: &Path| {
            // A byte that would end the line is no byte of a path that anybody means.
            let bytes = path.as_os_str().as_bytes().iter().filter(|byte| !matches!(byte, b'\n' | b'\t'));
            String::from_utf8_lossy(&bytes.copied().collect::<Vec<u8>>()).into_owned()
        };
        match self {
            Self::Write(path) => format!("write\t{}\n", text(path)),
            Self::Read(path, call) => format!("{call}\t{}\n", text(path)),
            Self::Port(port) => format!("port\t{port}\n"),
            Self::Threads(threads) => format!("threads\t{threads}\n"),
            Self::Call(call) => format!("call\t{call}\n"),
        }
    }

    fn from_line(line: &str) -> Option<Self> {
        let (kind, value) = line.split_once('\t')?;
        let path = || PathBuf::from(OsString::from_vec(value.as_bytes().to_vec()));
        Some(match kind {
            "write" => Self::Write(path()),
            "port" => Self::Port(value.parse().ok()?),
            "threads" => Self::Threads(value.parse().ok()?),
            "call" => Self::Call(value.to_owned()),
            call => Self::Read(path(), call.to_owned()),
        })
    }
}

/// So much is read of what workers have noted.
const NOTES_BYTES_MAX: usize = 1 << 20;

/// The line of a builder for what workers have noted in a file.
pub(super) fn suggestion(notes: &std::fs::File) -> io::Result<String> {
    let mut bytes = vec![0; usize::try_from(notes.metadata()?.len()).unwrap_or(usize::MAX).min(NOTES_BYTES_MAX)];
    let count = notes.read_at(&mut bytes, 0)?;
    let text = String::from_utf8_lossy(&bytes[..count]);
    Ok(line(text.lines().filter_map(Need::from_line).collect(), Path::exists))
}

fn line(needs: BTreeSet<Need>, exists: impl Fn(&Path) -> bool) -> String {
    let (mut written, mut read) = (BTreeSet::new(), BTreeSet::new());
    let (mut ports, mut calls, mut threads) = (BTreeSet::new(), BTreeSet::new(), 0);
    for need in needs {
        match need {
            // It may be gone since.
            Need::Write(path) => {
                written.extend(path.ancestors().find(|path| exists(path)).map(Path::to_owned));
            }
            Need::Read(path, _) if exists(&path) => {
                read.insert(path);
            }
            // It was looked for, and is not there.
            Need::Read(_, call) | Need::Call(call) => {
                calls.insert(call);
            }
            Need::Port(port) => {
                ports.insert(port);
            }
            Need::Threads(count) => threads = threads.max(count),
        }
    }
    let all = written.clone();
    written.retain(|path| !all.iter().any(|open| open != path && path.starts_with(open)));
    read.retain(|path| !written.iter().any(|open| path.starts_with(open)));
    let read = read.iter().map(|path| format!(".read({path:?})"));
    let written = written.iter().map(|path| format!(".write({path:?})"));
    let ports = ports.iter().map(|port| format!(".connect({port})"));
    let threads = (threads > 0).then(|| format!(".threads({threads})"));
    let calls = calls.iter().map(|call| format!(".allow({call:?})"));
    let openers = read.chain(written).chain(ports).chain(threads).chain(calls);
    std::iter::once("Sandbox::strict()".to_owned()).chain(openers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_need_comes_back_from_its_line() {
        let path = || PathBuf::from("/a b/c");
        let needs = [
            Need::Write(path()),
            Need::Read(path(), "openat".to_owned()),
            Need::Port(443),
            Need::Threads(4),
            Need::Call("getcwd".to_owned()),
        ];
        for need in needs {
            assert_eq!(Need::from_line(need.to_line().trim_end_matches('\n')), Some(need));
        }
        assert_eq!(Need::from_line("port\tx"), None);
        assert_eq!(Need::from_line("nonsense"), None);
    }

    #[test]
    fn the_line_opens_what_was_needed_and_no_more() {
        let read = |path: &str| Need::Read(path.into(), "openat".to_owned());
        let needs = [
            read("/etc/models/a"),
            read("/out/b"),
            read("/missing"),
            Need::Write("/out/new".into()),
            Need::Port(443),
            Need::Threads(2),
            Need::Threads(4),
            Need::Call("getcwd".to_owned()),
        ];
        let there = |path: &Path| ["/etc/models/a", "/out", "/out/b", "/"].iter().any(|known| path == Path::new(known));
        assert_eq!(
            line(needs.into(), there),
            "Sandbox::strict().read(\"/etc/models/a\").write(\"/out\").connect(443).threads(4).allow(\"getcwd\").allow(\"openat\")"
        );
        assert_eq!(line(BTreeSet::new(), there), "Sandbox::strict()");
    }
}
