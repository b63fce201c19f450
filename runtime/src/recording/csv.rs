//! Numbers and texts as fields of CSV (RFC 4180). No I/O.

/// Appends a number.
pub(super) fn push_number(line: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let (mut at, mut left) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

/// Appends nanoseconds as seconds, to the nanosecond.
pub(super) fn push_seconds(line: &mut Vec<u8>, nanos: u64) {
    push_number(line, nanos / 1_000_000_000);
    let mut digits = *b".000000000";
    let mut left = nanos % 1_000_000_000;
    for digit in digits[1..].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    line.extend_from_slice(&digits);
}

/// Appends a text, in quotes where it needs them.
pub(super) fn push_text(line: &mut Vec<u8>, text: &str) {
    if !text.contains([',', '"', '\n', '\r']) {
        return line.extend_from_slice(text.as_bytes());
    }
    line.push(b'"');
    for (at, part) in text.split('"').enumerate() {
        if at > 0 {
            line.extend_from_slice(b"\"\"");
        }
        line.extend_from_slice(part.as_bytes());
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        push(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        for number in [0, 7, 10, 999, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(written(|line| push_number(line, number)), number.to_string());
        }
        for (nanos, seconds) in [(0, "0.000000000"), (1, "0.000000001"), (12_345_678_901, "12.345678901")] {
            assert_eq!(written(|line| push_seconds(line, nanos)), seconds);
        }
    }

    #[test]
    fn texts_are_quoted_where_they_must_be() {
        for (text, quoted) in [("plain", "plain"), ("a,b", "\"a,b\""), ("say \"x\"\n", "\"say \"\"x\"\"\n\""), ("", "")]
        {
            assert_eq!(written(|line| push_text(line, text)), quoted);
        }
    }
}
