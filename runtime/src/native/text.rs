//! The calls of a stack as lines, as the standard library writes a backtrace. It knows nothing of where the names come from.

use std::fmt::Write;

use crate::sys::{LoadedFile, NativeFrame, NativeStack};

/// More than so many bytes are cut off, at a whole call.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// A function, and the place of a call in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CallName {
    pub(super) function: String,
    /// As `file:line:column`.
    pub(super) place: Option<String>,
}

/// Writes a stack. `names` finds the names of its frames, the innermost first where functions are inlined; it may find fewer.
pub(super) fn text(stack: NativeStack, names: impl FnOnce(NativeStack) -> Vec<Vec<CallName>>) -> String {
    let NativeStack { frames, files, is_cut, .. } = &stack;
    let mut names = names(stack.clone());
    names.resize(frames.len(), Vec::new());
    let (mut text, mut number, mut is_whole) = (String::new(), 0, !is_cut);
    for (frame, names) in frames.iter().zip(names) {
        if is_own(&names) {
            // The rest is what runs the task.
            is_whole = true;
            break;
        }
        let call = write_call(frame, files, &names, &mut number);
        if text.len() + call.len() > TEXT_BYTES_MAX {
            is_whole = false;
            break;
        }
        text.push_str(&call);
    }
    if !is_whole {
        text.push_str("      and further calls\n");
    }
    text
}

/// Whether a call is of what runs tasks, and not of the task.
fn is_own(names: &[CallName]) -> bool {
    names.iter().any(|CallName { function, .. }| {
        let is_in = |module: &str| function.trim_start_matches('<').starts_with(module);
        is_in("poolmap::functions::") || is_in("poolmap::worker::") || is_expansion(function)
    })
}

/// Whether a function is one that the macro writes into the program's crate, to call a worker function.
fn is_expansion(function: &str) -> bool {
    let method = function.rsplit("::").next().unwrap_or_default();
    function.contains("poolmap::functions::") && method.starts_with("__run")
}

fn write_call(frame: &NativeFrame, files: &[LoadedFile], names: &[CallName], number: &mut usize) -> String {
    let mut call = String::new();
    let place = place_in_file(frame, files);
    if names.is_empty() {
        let _ = writeln!(call, "{number:4}: {}", printable(&place));
        *number += 1;
    }
    for CallName { function, place: line } in names {
        let at = line.as_deref().unwrap_or(&place);
        let _ = writeln!(call, "{number:4}: {}\n             at {}", printable(function), printable(at));
        *number += 1;
    }
    call
}

/// The file and the offset in it, as `addr2line -e` takes them; the address alone where it is in no file.
fn place_in_file(frame: &NativeFrame, files: &[LoadedFile]) -> String {
    match frame.file.and_then(|file| files.get(file)) {
        Some(file) => format!("{}+{:#x}", file.path.display(), frame.address.wrapping_sub(file.bias)),
        None => format!("{:#x}", frame.address),
    }
}

/// A worker and its files may say anything: it stays on its line.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(frames: usize) -> NativeStack {
        let file = LoadedFile { bias: 0x1000, header_bytes: 0, header_hash: 0, path: "/lib/a.so".into() };
        let frame = |frame: usize| NativeFrame { address: 0x1010 + frame as u64, file: (frame > 0).then_some(0) };
        NativeStack { frames: (0..frames).map(frame).collect(), files: vec![file], is_cut: false, folder: None }
    }

    fn name(function: &str, place: Option<&str>) -> CallName {
        CallName { function: function.to_owned(), place: place.map(str::to_owned) }
    }

    #[test]
    fn a_call_without_a_name_is_its_file_and_the_offset_in_it() {
        assert_eq!(text(stack(3), |_| Vec::new()), "   0: 0x1010\n   1: /lib/a.so+0x11\n   2: /lib/a.so+0x12\n");
    }

    #[test]
    fn names_are_numbered_and_end_where_the_task_was_called() {
        let names = vec![
            vec![name("inlined", Some("a.c:1:2")), name("outer\n", None)],
            vec![name("task", Some("t.rs:3:4"))],
            vec![name("<app::task as poolmap::functions::function::WorkerFn>::__run", None)],
        ];
        let wanted = "   0: inlined\n             at a.c:1:2\n   1: outer\u{fffd}\n             at 0x1010\n   2: task\n             at t.rs:3:4\n";
        assert_eq!(text(stack(4), |_| names), wanted);
    }

    #[test]
    fn a_long_text_is_cut_at_a_call() {
        let long = text(stack(128), |_| vec![vec![name(&"f".repeat(1000), None)]; 128]);
        assert!(long.len() < TEXT_BYTES_MAX + 100 && long.ends_with("\n      and further calls\n"), "{}", long.len());
        let cut = NativeStack { is_cut: true, ..stack(1) };
        assert_eq!(text(cut, |_| Vec::new()), "   0: 0x1010\n      and further calls\n");
    }
}
