//! Whole lines with a tag before each. No I/O.

use std::sync::OnceLock;

/// The bytes to write with one call, and how much of the text they cover.
pub(super) struct Piece {
    pub(super) tagged: Vec<u8>,
    pub(super) taken: usize,
}

/// The treatment of a last line that is not ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// It waits for its end.
    Waits,
    /// It is ended here.
    Ends,
}

/// As many lines from the beginning of `text` as are in `bytes_max` with their tags. One that is longer goes on in a line of its
/// own. None if there is no line to be written.
pub(super) fn piece(tag: &str, text: &[u8], open: Open, bytes_max: usize) -> Option<Piece> {
    let around = tag.len() + 1;
    let most = bytes_max.saturating_sub(around).max(1);
    let mut piece = Piece { tagged: Vec::new(), taken: 0 };
    while piece.taken < text.len() {
        let rest = &text[piece.taken..];
        let (line, taken) = match rest.iter().take(most + 1).position(|&byte| byte == b'\n') {
            Some(end) => (&rest[..end], end + 1),
            None if rest.len() > most => (&rest[..most], most),
            None if open == Open::Ends => (rest, rest.len()),
            None => break,
        };
        if !piece.tagged.is_empty() && piece.tagged.len() + line.len() + around > bytes_max {
            break;
        }
        piece.tagged.extend_from_slice(tag.as_bytes());
        piece.tagged.extend_from_slice(line);
        piece.tagged.push(b'\n');
        piece.taken += taken;
    }
    (piece.taken > 0).then_some(piece)
}

/// The name of the machine, if lines are to have it.
static NODE: OnceLock<String> = OnceLock::new();

/// Has each tag name the machine, from now on: output of several goes to one terminal.
pub(crate) fn set_node(name: String) {
    // A process is on one machine.
    let _ = NODE.set(name);
}

/// The tag of a task of the function `module::name`.
pub(super) fn tag(function: &str, index: u64) -> String {
    let name = function.rsplit("::").next().unwrap_or(function);
    match NODE.get() {
        Some(node) => format!("[{node} {name} #{index}] "),
        None => format!("[{name} #{index}] "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, open: Open, bytes_max: usize) -> (Vec<String>, usize) {
        let (mut pieces, mut taken) = (Vec::new(), 0);
        while let Some(next) = piece("[f #1] ", &text.as_bytes()[taken..], open, bytes_max) {
            assert!(next.tagged.len() <= bytes_max);
            pieces.push(String::from_utf8(next.tagged).unwrap());
            taken += next.taken;
        }
        (pieces, taken)
    }

    #[test]
    fn every_line_has_its_tag_and_an_open_one_waits_or_ends() {
        assert_eq!(tag("a::b::f", 1), "[f #1] ");
        assert_eq!(all("one\n\ntwo", Open::Waits, 100), (vec!["[f #1] one\n[f #1] \n".to_owned()], 5));
        assert_eq!(all("one\ntwo", Open::Ends, 100), (vec!["[f #1] one\n[f #1] two\n".to_owned()], 7));
        assert_eq!(all("", Open::Ends, 100), (vec![], 0));
    }

    #[test]
    fn pieces_end_with_a_line_and_long_lines_go_on_in_another() {
        let (pieces, taken) = all("12345\n67\nabcdefghijklmnop\n", Open::Waits, 16);
        assert_eq!(pieces, ["[f #1] 12345\n", "[f #1] 67\n", "[f #1] abcdefgh\n", "[f #1] ijklmnop\n"]);
        assert_eq!(taken, 26);
    }
}
