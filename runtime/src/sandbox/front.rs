//! The front of a filter: it finds the fate of a call by the call's number, in halves.
//!
//! 1. When a filter is set, the kernel runs it once for each number of a call, to know those that pass whatever their arguments
//!    (`seccomp_cache_prepare` in its source). seccompiler compares with one number behind another. So each start of a worker would pay for
//!    some 400 such runs of up to 190 instructions; with the front the run of a call without checks has 10.
//! 2. The numbers are cut into spans that share a fate. The front compares with the first number of a span's right half until one span is
//!    left.
//! 3. The check that most calls have, that they are not for a descriptor of the output, is there once for them all.
//! 4. Calls whose arguments are checked in another way go on to seccompiler's program, which stands behind the front, whole. It ends them
//!    all.
//! 5. It knows nothing of which calls those are.

use std::collections::BTreeMap;

use seccompiler::sock_filter;

/// The fate of a call, as its number alone decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Allowed,
    /// It is allowed unless its first argument is a descriptor of the output.
    IsNotForOutput,
    /// By its arguments, in the program behind.
    IsChecked,
    /// It is trapped.
    Denied,
}

/// The instructions of classic BPF that the front is made of (seccomp(2), linux/bpf_common.h).
pub(super) mod codes {
    /// BPF_LD | BPF_W | BPF_ABS.
    pub(crate) const LOAD: u16 = 0x20;
    /// BPF_JMP | BPF_JEQ | BPF_K, and BPF_JGE.
    pub(crate) const JUMP_IF_EQUAL: u16 = 0x15;
    pub(crate) const JUMP_IF_AT_LEAST: u16 = 0x35;
    /// BPF_JMP | BPF_JA.
    pub(crate) const JUMP: u16 = 0x05;
    /// BPF_RET | BPF_K.
    pub(crate) const RETURN: u16 = 0x06;
}

/// The kernel's numbers for the ends of a filter (seccomp(2)).
pub(super) mod actions {
    pub(crate) const TRAP: u32 = 0x0003_0000;
    pub(crate) const KILL: u32 = 0x8000_0000;
    pub(crate) const ALLOW: u32 = 0x7fff_0000;
    pub(crate) const ASK: u32 = 0x7fc0_0000;
}

/// Where the kernel gives a filter the number of the call, and the processor whose table that is of (struct seccomp_data).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The lower half of the first argument, on a little-endian processor.
const FIRST_ARGUMENT: u32 = 16;

/// Stand in jumps for their ways, as long as these are not known. No filter is as long.
const TO_OUTPUT_CHECK: u32 = u32::MAX;
const TO_PROGRAM: u32 = u32::MAX - 1;

/// Puts a front before a program. Numbers without a fate are denied. A call of another processor's table ends the process.
pub(super) fn with_front(
    fates: &BTreeMap<u32, Fate>,
    architecture: u32,
    outputs: [u32; 4],
    program: Vec<sock_filter>,
) -> Vec<sock_filter> {
    let mut front = vec![
        instruction(codes::LOAD, ARCHITECTURE),
        sock_filter { jt: 1, ..instruction(codes::JUMP_IF_EQUAL, architecture) },
        instruction(codes::RETURN, actions::KILL),
        instruction(codes::LOAD, NUMBER),
    ];
    front.extend(halves(&spans(fates)));
    let output_check = front.len();
    front.push(instruction(codes::LOAD, FIRST_ARGUMENT));
    for (output, over) in outputs.into_iter().zip((1..=4).rev()) {
        front.push(sock_filter { jt: over, ..instruction(codes::JUMP_IF_EQUAL, output) });
    }
    front.push(instruction(codes::RETURN, actions::ALLOW));
    front.push(instruction(codes::RETURN, actions::TRAP));
    let length = front.len();
    for (index, instruction) in front[..output_check].iter_mut().enumerate() {
        instruction.k = match (instruction.code, instruction.k) {
            (codes::JUMP, TO_OUTPUT_CHECK) => (output_check - index - 1) as u32,
            (codes::JUMP, TO_PROGRAM) => (length - index - 1) as u32,
            (_, k) => k,
        };
    }
    front.extend(program);
    front
}

/// The first number of each span, and the span's fate.
fn spans(fates: &BTreeMap<u32, Fate>) -> Vec<(u32, Fate)> {
    let mut spans = vec![(0, Fate::Denied)];
    let mut next = 0;
    let mut go_on = |first: u32, fate: Fate| match spans.last_mut() {
        Some(last) if last.1 == fate => {}
        Some(last) if last.0 == first => last.1 = fate,
        _ => spans.push((first, fate)),
    };
    for (&number, &fate) in fates {
        if number > next {
            go_on(next, Fate::Denied);
        }
        go_on(number, fate);
        next = number + 1;
    }
    go_on(next, Fate::Denied);
    spans
}

fn halves(spans: &[(u32, Fate)]) -> Vec<sock_filter> {
    if let [(_, fate)] = spans {
        return vec![match fate {
            Fate::Allowed => instruction(codes::RETURN, actions::ALLOW),
            Fate::IsNotForOutput => instruction(codes::JUMP, TO_OUTPUT_CHECK),
            Fate::IsChecked => instruction(codes::JUMP, TO_PROGRAM),
            Fate::Denied => instruction(codes::RETURN, actions::TRAP),
        }];
    }
    let (left, right) = spans.split_at(spans.len() / 2);
    let is_right = instruction(codes::JUMP_IF_AT_LEAST, right[0].0);
    let (left, right) = (halves(left), halves(right));
    let choice = match u8::try_from(left.len()) {
        Ok(over) => vec![sock_filter { jt: over, ..is_right }],
        // A comparison jumps over at most 255.
        Err(_) => vec![sock_filter { jf: 1, ..is_right }, instruction(codes::JUMP, left.len() as u32)],
    };
    [choice, left, right].concat()
}

fn instruction(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_join_neighbours_and_close_gaps() {
        use Fate::{Allowed, Denied, IsChecked};

        assert_eq!(spans(&BTreeMap::new()), [(0, Denied)]);
        let fates =
            BTreeMap::from([(0, Allowed), (1, Allowed), (2, IsChecked), (5, Allowed), (u32::MAX - 1, IsChecked)]);
        let expected = [
            (0, Allowed),
            (2, IsChecked),
            (3, Denied),
            (5, Allowed),
            (6, Denied),
            (u32::MAX - 1, IsChecked),
            (u32::MAX, Denied),
        ];
        assert_eq!(spans(&fates), expected);
    }
}
