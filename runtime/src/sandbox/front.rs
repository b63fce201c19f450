//! The front of a filter: it finds the fate of a call by the call's number, in halves.
//!
//! 1. When a filter is set, the kernel runs it once for each number of a call, to know those that pass whatever their arguments
//!    (`seccomp_cache_prepare` in its source), and compiles it. seccompiler compares with one number behind another. So each start of a
//!    worker would pay for some 400 such runs of up to 190 instructions; with the front the run of a call without checks has 10.
//! 2. The numbers are cut into spans that share a fate. The front compares with the first number of a span's right half until one span is
//!    left. It is put together from its end, as a jump goes forward: the ends that fates have are there once for all spans.
//! 3. The check that most calls have, that they are not for a descriptor of the output, is there once for those that have no other, and
//!    once for those that are checked further.
//! 4. Calls whose arguments are checked in another way go on to a program of seccompiler's, which stands behind the front, whole. It ends
//!    them all. There are two: calls for the output have one of their own. They are written for one that compiles rules, and not for one that
//!    pays for each instruction: half of theirs are jumps to jumps, ends that are there already, and loads of what is loaded.
//! 5. It knows nothing of which calls those are.

use std::collections::{BTreeMap, HashSet};

use seccompiler::sock_filter;

/// The fate of a call, as its number alone decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Allowed,
    /// It is allowed unless its first argument is a descriptor of the output.
    IsNotForOutput,
    /// By its arguments: in the program for the output if its first argument is a descriptor of that, and in the other program if not.
    IsCheckedByOutput,
    /// By its arguments, in the program for calls that are not for the output.
    IsChecked,
    /// It is trapped.
    Denied,
}

/// The programs of seccompiler's, which end each call that comes to them.
pub(super) struct Programs {
    pub(super) for_output: Vec<sock_filter>,
    pub(super) others: Vec<sock_filter>,
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

/// A comparison jumps over at most 255 instructions; those that go between it and its target meanwhile are a few.
const REACH: usize = 250;

/// Puts a front before the programs. Numbers without a fate are denied. A call of another processor's table ends the process.
pub(super) fn with_front(
    fates: &BTreeMap<u32, Fate>,
    architecture: u32,
    outputs: [u32; 4],
    programs: Programs,
) -> Vec<sock_filter> {
    let mut code = FromItsEnd::default();
    let others = code.put_program(&programs.others);
    let for_output = code.put_program(&programs.for_output);
    let by_output = code.put_output_check(outputs, for_output, others);
    let (denied, allowed) = (code.put_end(actions::TRAP), code.put_end(actions::ALLOW));
    let not_for_output = code.put_output_check(outputs, denied, allowed);
    code.ends = vec![
        (Fate::Allowed, allowed),
        (Fate::Denied, denied),
        (Fate::IsNotForOutput, not_for_output),
        (Fate::IsCheckedByOutput, by_output),
        (Fate::IsChecked, others),
    ];
    let tree = code.put_halves(&spans(fates));
    code.put_jump(tree);
    code.put(instruction(codes::LOAD, NUMBER));
    code.put(instruction(codes::RETURN, actions::KILL));
    code.put(sock_filter { jt: 1, ..instruction(codes::JUMP_IF_EQUAL, architecture) });
    code.put(instruction(codes::LOAD, ARCHITECTURE));
    code.into_program()
}

/// Instructions, the last first. A place counts from the end, so it stays what it is.
#[derive(Default)]
struct FromItsEnd {
    reversed: Vec<sock_filter>,
    /// The place of each fate that is nearest to what comes next.
    ends: Vec<(Fate, usize)>,
}

impl FromItsEnd {
    /// Puts an instruction before the others, and returns its place.
    fn put(&mut self, instruction: sock_filter) -> usize {
        self.reversed.push(instruction);
        self.reversed.len() - 1
    }

    /// Puts a program, without its jumps to jumps, its ends that are there already, and what it loads a second time. Returns its beginning.
    fn put_program(&mut self, program: &[sock_filter]) -> usize {
        let targets = targets(program);
        let mut places = vec![0; program.len()];
        for (index, instruction) in program.iter().enumerate().rev() {
            let behind = |over: usize| index + 1 + over;
            places[index] = match instruction.code {
                codes::JUMP => places[behind(instruction.k as usize)],
                codes::RETURN => self.put_end(instruction.k),
                code if is_comparison(code) => {
                    // It comes there by the load alone.
                    let before = program[..index].last().filter(|before| before.code == codes::LOAD);
                    let loaded = before.filter(|_| !targets.contains(&index)).map(|load| load.k);
                    let way = |over: u8| places[without_loading(program, behind(over.into()), loaded)];
                    self.put_choice(instruction, way(instruction.jt), way(instruction.jf))
                }
                _ => {
                    self.put_jump(places[behind(0)]);
                    self.put(instruction.clone())
                }
            };
        }
        places[0]
    }

    /// Puts the end of a call, unless one is near.
    fn put_end(&mut self, action: u32) -> usize {
        let nearest = self.reversed.iter().rposition(|end| (end.code, end.k) == (codes::RETURN, action));
        match nearest.filter(|&place| self.distance(place) <= REACH) {
            Some(place) => place,
            None => self.put(instruction(codes::RETURN, action)),
        }
    }

    /// Puts a comparison with its two ways.
    fn put_choice(&mut self, comparison: &sock_filter, if_so: usize, if_not: usize) -> usize {
        let (if_so, if_not) = (self.reachable(if_so), self.reachable(if_not));
        let (jt, jf) = (self.distance(if_so) as u8, self.distance(if_not) as u8);
        self.put(sock_filter { jt, jf, ..comparison.clone() })
    }

    /// How many instructions a jump that comes next has to pass.
    fn distance(&self, place: usize) -> usize {
        self.reversed.len() - place - 1
    }

    /// Puts a jump, unless what it goes to comes next.
    fn put_jump(&mut self, place: usize) -> usize {
        match self.distance(place) {
            0 => place,
            over => self.put(instruction(codes::JUMP, over as u32)),
        }
    }

    /// The place that a comparison jumps to, to get to this one.
    fn reachable(&mut self, place: usize) -> usize {
        if self.distance(place) <= REACH {
            return place;
        }
        let nearer = match &self.reversed[place] {
            &sock_filter { code: codes::RETURN, k: action, .. } => self.put_end(action),
            _ => self.put_jump(place),
        };
        self.ends.iter_mut().filter(|(_, end)| *end == place).for_each(|(_, end)| *end = nearer);
        nearer
    }

    /// Puts the question whether the first argument is a descriptor of the output.
    fn put_output_check(&mut self, outputs: [u32; 4], if_so: usize, if_not: usize) -> usize {
        let if_so = self.reachable(if_so);
        self.put_jump(if_not);
        for output in outputs {
            let over = self.distance(if_so) as u8;
            self.put(sock_filter { jt: over, ..instruction(codes::JUMP_IF_EQUAL, output) });
        }
        self.put(instruction(codes::LOAD, FIRST_ARGUMENT))
    }

    /// Puts the comparisons that find the fate of a number, and returns the place of the first.
    fn put_halves(&mut self, spans: &[(u32, Fate)]) -> usize {
        if let [(_, fate)] = spans {
            let end = self.ends.iter().find(|(known, _)| known == fate);
            return end.expect("each fate has an end").1;
        }
        let (left, right) = spans.split_at(spans.len() / 2);
        let first_of_right = right[0].0;
        let (right, left) = (self.put_halves(right), self.put_halves(left));
        self.put_choice(&instruction(codes::JUMP_IF_AT_LEAST, first_of_right), right, left)
    }

    fn into_program(mut self) -> Vec<sock_filter> {
        self.reversed.reverse();
        self.reversed
    }
}

/// Whether it is of the class BPF_JMP, and no BPF_JA.
fn is_comparison(code: u16) -> bool {
    code & 7 == codes::JUMP && code != codes::JUMP
}

/// The instructions that jumps and comparisons of a program go to.
fn targets(program: &[sock_filter]) -> HashSet<usize> {
    let ways = |(index, instruction): (usize, &sock_filter)| {
        let to = |over: u32| Some(index + 1 + over as usize);
        match instruction.code {
            codes::JUMP => [to(instruction.k), None],
            code if is_comparison(code) => [to(instruction.jt.into()), to(instruction.jf.into())],
            _ => [None, None],
        }
    };
    program.iter().enumerate().flat_map(ways).flatten().collect()
}

/// The instruction that a way leads to, behind jumps, and behind a load of what is loaded.
fn without_loading(program: &[sock_filter], mut index: usize, loaded: Option<u32>) -> usize {
    while program[index].code == codes::JUMP {
        index += 1 + program[index].k as usize;
    }
    let is_loaded = program[index].code == codes::LOAD && Some(program[index].k) == loaded;
    index + usize::from(is_loaded)
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
