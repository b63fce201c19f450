//! Texts as strings of JSON, which may stand in a script of a page. No I/O.

/// Appends a text in quotes. `<`, `>` and `&` are escaped, so that no text ends a script that it stands in.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut buffer = [0; 4];
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            // The last two end a line of a script in old browsers.
            '\0'..='\x1f' | '<' | '>' | '&' | '\x7f' | '\u{2028}' | '\u{2029}' => {
                out.extend_from_slice(format!("\\u{:04x}", character as u32).as_bytes());
            }
            other => out.extend_from_slice(other.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_script_or_a_string() {
        let mut out = Vec::new();
        push_string(&mut out, "a\"\\\n</script>\u{2028}é\u{1}");
        assert_eq!(String::from_utf8(out).unwrap(), r#""a\"\\\n\u003c/script\u003e\u2028é\u0001""#);
    }
}
