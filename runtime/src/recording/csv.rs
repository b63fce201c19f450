//! Numbers and texts as fields of CSV (RFC 4180). No I/O.

/// The numbers from 0 to 99, in two digits each: a division for two digits takes as long as one for one.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Appends a number.
#[inline]
pub(super) fn push_number(line: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let (mut at, mut left) = (digits.len(), number);
    while left >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(left % 100) as usize]);
        left /= 100;
    }
    // A pair of which the first digit is 0 belongs to a number that has an odd number of digits.
    if left > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + left as u8;
    }
    line.extend_from_slice(&digits[at..]);
}

/// Appends nanoseconds as seconds, to the nanosecond.
pub(super) fn push_seconds(line: &mut Vec<u8>, nanos: u64) {
    push_number(line, nanos / 1_000_000_000);
    let mut digits = *b".000000000";
    let mut left = nanos % 1_000_000_000;
    for pair in digits[2..].chunks_exact_mut(2).rev() {
        pair.copy_from_slice(&PAIRS[(left % 100) as usize]);
        left /= 100;
    }
    digits[1] = b'0' + left as u8;
    line.extend_from_slice(&digits);
}

/// Appends a text, in quotes where it needs them.
pub(super) fn push_text(line: &mut Vec<u8>, text: &str) {
    if !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
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
        for number in [0, 7, 10, 99, 100, 101, 999, 1000, 12_345, u64::from(u32::MAX), u64::MAX] {
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
