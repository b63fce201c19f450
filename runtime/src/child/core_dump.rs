//! The file that the system has written a core dump to, where that is sure: the pattern is that of a file, everything in it is known, and
//! the file is there and new (core(5)).

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use crate::error::TaskErrorKind;

const PATTERN: &str = "/proc/sys/kernel/core_pattern";
const USES_PID: &str = "/proc/sys/kernel/core_uses_pid";

/// A dump that was written before this is another's.
const AGE_MAX: Duration = Duration::from_secs(60);

/// The core dump of a process that a signal has ended, whose folder this was. None where there is none, or where it is cannot be said.
pub(super) fn core_dump(status: Option<ExitStatus>, pid: u32, folder: Option<&Path>) -> Option<PathBuf> {
    let signal = status.filter(ExitStatus::core_dumped)?.signal()?;
    let mut name = expand(std::fs::read_to_string(PATTERN).ok()?.trim_end_matches('\n'), pid, signal)?;
    let has_pid = name.1;
    if !has_pid && std::fs::read_to_string(USES_PID).is_ok_and(|uses| uses.trim() != "0") {
        name.0.push_str(&format!(".{pid}"));
    }
    let path = Path::new(&name.0);
    let path = if path.is_absolute() { path.to_path_buf() } else { folder?.join(path) };
    let file = path.symlink_metadata().ok()?;
    let age = SystemTime::now().duration_since(file.modified().ok()?).unwrap_or_default();
    (file.is_file() && file.len() > 0 && age <= AGE_MAX).then_some(path)
}

/// The error of a crash, with the file of its core dump.
pub(super) fn with_core(error: TaskErrorKind, core: Option<&Path>) -> TaskErrorKind {
    match (error, core) {
        (TaskErrorKind::Crashed { signal, exit_code, note }, Some(core)) => {
            let before = note.map_or_else(String::new, |note| format!("{note}; "));
            let note = format!("{before}its core dump is {}", core.display());
            TaskErrorKind::Crashed { signal, exit_code, note: Some(note) }
        }
        (error, _) => error,
    }
}

/// The name that a pattern makes, and whether it has the process's number; none where the pattern is of a program, or has what is not
/// known here.
fn expand(pattern: &str, pid: u32, signal: i32) -> Option<(String, bool)> {
    if pattern.is_empty() || pattern.starts_with(['|', '@']) {
        return None;
    }
    let (mut name, mut has_pid, mut rest) = (String::new(), false, pattern.chars());
    while let Some(character) = rest.next() {
        match (character, if character == '%' { rest.next() } else { None }) {
            ('%', Some('%')) => name.push('%'),
            ('%', Some('p')) => {
                name.push_str(&pid.to_string());
                has_pid = true;
            }
            ('%', Some('s')) => name.push_str(&signal.to_string()),
            // A single one at the end is left out.
            ('%', None) => {}
            ('%', Some(_)) => return None,
            (character, _) => name.push(character),
        }
    }
    Some((name, has_pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_expanded_where_all_of_it_is_known() {
        let expanded = |pattern| expand(pattern, 42, 11).map(|(name, has_pid)| format!("{name} {has_pid}"));
        assert_eq!(expanded("core").as_deref(), Some("core false"));
        assert_eq!(expanded("/cores/%p-%s%%.%").as_deref(), Some("/cores/42-11%. true"));
        for unknown in ["", "|/usr/bin/apport %p", "@/run/socket", "core.%e.%p", "core.%t"] {
            assert_eq!(expanded(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn without_a_dump_there_is_no_file() {
        assert_eq!(core_dump(None, 1, None), None);
        assert_eq!(core_dump(Some(ExitStatus::from_raw(11)), 1, Some(Path::new("/"))), None);
    }
}
