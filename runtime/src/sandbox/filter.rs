//! The filter of system calls, as the instructions of the kernel's machine (seccomp(2), "Seccomp BPF").
//!
//! 1. The parent compiles it, once for a pool. The number of the worker, which some calls must name, and the descriptors that it prints by
//!    are put in by the worker.
//! 2. seccompiler compiles the calls whose arguments are checked. The others are known by their number, and by whether they are for the
//!    output (`front`).
//! 3. A call that no rule allows sends SIGSYS to its thread (`sys/sandbox_trap`). One of another table (of 32 bits) ends the process.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads, sock_filter,
};

use super::calls::ArgumentCheck;
use super::front::{Fate, Programs, actions, codes, with_front};
use crate::sys::{self, FilterInstruction};

/// BPF_MAXINSNS.
const INSTRUCTIONS_MAX: usize = 4096;
/// Stands for the number of the worker's process. No other number in a filter is it: flags and numbers of calls are small, and no process
/// has this one, which is above the kernel's most (2^22).
const OWN_PID: u32 = 0x706f_6f6c;
/// Stand for the descriptors by which a worker that keeps its output reaches its program's. Descriptors are below 2^30.
const PROGRAM_OUTPUT: [u32; 2] = [OWN_PID + 1, OWN_PID + 2];

/// The processor, and the kernel's number of its table of calls (linux/audit.h).
#[cfg(target_arch = "x86_64")]
const PROCESSOR: (TargetArch, u32) = (TargetArch::x86_64, 0xc000_003e);
#[cfg(target_arch = "aarch64")]
const PROCESSOR: (TargetArch, u32) = (TargetArch::aarch64, 0xc000_00b7);

/// Compiles rules; each instruction is a number.
pub(super) fn compile<'a>(
    allowed: impl IntoIterator<Item = (&'a str, &'a [ArgumentCheck])>,
) -> Result<Vec<u64>, seccompiler::BackendError> {
    let mut checks_of: BTreeMap<i64, Vec<&[ArgumentCheck]>> = BTreeMap::new();
    for (call, checks) in allowed {
        // Old calls are of some processors only.
        if let Some(number) = sys::call_number(call) {
            checks_of.entry(number).or_default().push(checks);
        }
    }
    let [mut for_output, mut others] = [Rules::new(), Rules::new()];
    let mut fates = BTreeMap::new();
    for (number, alternatives) in checks_of {
        let fate = fate(&alternatives);
        if matches!(fate, Fate::IsChecked | Fate::IsCheckedByOutput) {
            // The front has found that this check holds, or that it does not.
            let left = alternatives.iter().map(|checks| checks.iter().filter(|check| !is_not_output(check)).collect());
            others.insert(number, rules(left)?);
            let of_output = || alternatives.iter().filter(|checks| !checks.iter().any(is_not_output));
            if fate == Fate::IsCheckedByOutput && of_output().next().is_some() {
                for_output.insert(number, rules(of_output().map(|checks| checks.iter().collect()))?);
            }
        }
        fates.insert(number as u32, fate);
    }
    let (processor, table) = PROCESSOR;
    let program = |rules| -> Result<BpfProgram, seccompiler::BackendError> {
        SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, processor)?.try_into()
    };
    let programs = Programs { for_output: program(for_output)?, others: program(others)? };
    let filter = with_front(&fates, table, outputs(), programs);
    if filter.len() > INSTRUCTIONS_MAX {
        return Err(seccompiler::BackendError::FilterTooLarge(filter.len()));
    }
    Ok(filter.iter().map(packed).collect())
}

/// The rules of calls, by their numbers.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The fate of a call that is to pass one of these.
fn fate(alternatives: &[&[ArgumentCheck]]) -> Fate {
    if alternatives.iter().any(|checks| checks.is_empty()) {
        Fate::Allowed
    } else if alternatives.iter().all(|checks| matches!(checks, [check] if is_not_output(check))) {
        Fate::IsNotForOutput
    } else if alternatives.iter().any(|checks| checks.iter().any(is_not_output)) {
        Fate::IsCheckedByOutput
    } else {
        Fate::IsChecked
    }
}

/// Whether the check is the one that the front makes.
fn is_not_output(check: &ArgumentCheck) -> bool {
    matches!(check, ArgumentCheck::IsNotOutput(0))
}

/// The rules of one call. None is a call that always passes, as one is for which nothing is to be checked.
fn rules<'a>(
    alternatives: impl Iterator<Item = Vec<&'a ArgumentCheck>>,
) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let mut rules = Vec::new();
    for checks in alternatives {
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        rules.push(SeccompRule::new(checks.into_iter().flat_map(conditions).collect::<Result<Vec<_>, _>>()?)?);
    }
    Ok(rules)
}

/// The descriptors of the output: the worker's own, and those of its program.
fn outputs() -> [u32; 4] {
    [1, 2, PROGRAM_OUTPUT[0], PROGRAM_OUTPUT[1]]
}

fn conditions(check: &ArgumentCheck) -> Vec<Result<SeccompCondition, seccompiler::BackendError>> {
    use SeccompCmpArgLen::{Dword, Qword};
    let one = |place, length, operator, value: u64| vec![SeccompCondition::new(place, length, operator, value)];
    match *check {
        ArgumentCheck::Is(place, value) => one(place, Dword, SeccompCmpOp::Eq, value),
        ArgumentCheck::IsNot(place, value) => one(place, Dword, SeccompCmpOp::Ne, value),
        ArgumentCheck::Whole(place, value) => one(place, Qword, SeccompCmpOp::Eq, value),
        ArgumentCheck::Bits(place, mask, value) => one(place, Dword, SeccompCmpOp::MaskedEq(mask), value),
        ArgumentCheck::IsOwnPid(place) => one(place, Dword, SeccompCmpOp::Eq, OWN_PID.into()),
        ArgumentCheck::IsNotOutput(place) => {
            let is_another = |output: u32| SeccompCondition::new(place, Dword, SeccompCmpOp::Ne, output.into());
            outputs().into_iter().map(is_another).collect()
        }
    }
}

fn packed(instruction: &sock_filter) -> u64 {
    let sock_filter { code, jt, jf, k } = *instruction;
    u64::from(code) | u64::from(jt) << 16 | u64::from(jf) << 24 | u64::from(k) << 32
}

fn unpacked(instruction: u64) -> sock_filter {
    let instruction = as_packed(instruction);
    let k = match instruction.k {
        OWN_PID => std::process::id(),
        k => PROGRAM_OUTPUT.iter().position(|&output| output == k).map_or(k, |place| sys::program_output()[place]),
    };
    sock_filter { k, ..instruction }
}

/// The instruction as it was compiled.
fn as_packed(instruction: u64) -> sock_filter {
    let [code @ .., jt, jf, _, _, _, _] = instruction.to_le_bytes();
    sock_filter { code: u16::from_le_bytes(code), jt, jf, k: (instruction >> 32) as u32 }
}

/// Raises the wall around every thread of this process.
pub(super) fn apply(program: &[u64]) -> io::Result<()> {
    let program: BpfProgram = program.iter().map(|instruction| unpacked(*instruction)).collect();
    apply_filter_all_threads(&program).map_err(io::Error::other)
}

/// The same filter, where a denied call is asked about instead, and a call of another table is made.
pub(super) fn noting(program: &[u64]) -> Vec<FilterInstruction> {
    let noting = |instruction: &u64| {
        let sock_filter { code, jt, jf, k } = unpacked(*instruction);
        let action = match (code, k) {
            (codes::RETURN, actions::TRAP) => actions::ASK,
            (codes::RETURN, actions::KILL) => actions::ALLOW,
            _ => k,
        };
        (code, jt, jf, action)
    };
    program.iter().map(noting).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::super::calls;
    use super::super::policy::Sandbox;
    use super::*;

    #[test]
    fn instructions_come_back_as_they_went() {
        let sent = sock_filter { code: 0x8015, jt: 3, jf: 250, k: 0xdead_beef };
        assert_eq!(unpacked(packed(&sent)), sent);
        let own = sock_filter { code: 0x15, jt: 0, jf: 1, k: OWN_PID };
        assert_eq!(unpacked(packed(&own)).k, std::process::id());
        let output = sock_filter { code: 0x15, jt: 0, jf: 1, k: PROGRAM_OUTPUT[1] };
        assert_eq!(unpacked(packed(&output)).k, 2);
    }

    /// The end that a filter comes to, and the number of its steps: the kernel's machine, as far as filters here use it.
    fn run(program: &[sock_filter], call: [u32; 16]) -> (u32, usize) {
        let (mut next, mut register) = (0, 0);
        for step in 1.. {
            let sock_filter { code, jt, jf, k } = program[next];
            next += 1;
            let jump = |is_so| usize::from(if is_so { jt } else { jf });
            match code {
                codes::LOAD => register = call[k as usize / 4],
                codes::JUMP => next += k as usize,
                codes::JUMP_IF_EQUAL => next += jump(register == k),
                codes::JUMP_IF_AT_LEAST => next += jump(register >= k),
                // BPF_ALU | BPF_AND | BPF_K.
                0x54 => register &= k,
                codes::RETURN => return (k, step),
                _ => panic!("an instruction that is not known: {code:#x}"),
            }
        }
        unreachable!("a filter has no way back")
    }

    /// The filter as seccompiler alone makes it.
    fn plain<'a>(allowed: impl IntoIterator<Item = (&'a str, &'a [ArgumentCheck])>) -> Vec<sock_filter> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        for (call, checks) in allowed {
            let Some(number) = sys::call_number(call) else { continue };
            let conditions: Vec<_> = checks.iter().flat_map(conditions).map(Result::unwrap).collect();
            // A rule without conditions is not one: a condition that always holds is.
            let always = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ge, 0).unwrap();
            let conditions = if conditions.is_empty() { vec![always] } else { conditions };
            rules.entry(number).or_default().push(SeccompRule::new(conditions).unwrap());
        }
        let filter = SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, PROCESSOR.0).unwrap();
        filter.try_into().unwrap()
    }

    /// The filters of some policies: with a front, and without.
    static FILTERS: LazyLock<[(Vec<sock_filter>, Vec<sock_filter>); 3]> = LazyLock::new(|| {
        let open = Sandbox::strict().read("/").write("/tmp").connect(443).threads(4);
        // As many spans as there can be: comparisons that are farther from the ends than they jump.
        let names = (0..460).step_by(2).map(sys::call_name).filter(|name| sys::call_number(name).is_some());
        let many = names.fold(Sandbox::strict(), Sandbox::allow);
        [Sandbox::strict(), open, many].map(|policy| {
            let allowed = || calls::allowed(&policy, Some(7));
            // The numbers of the worker are in neither.
            (compile(allowed()).unwrap().into_iter().map(as_packed).collect(), plain(allowed()))
        })
    });

    /// Numbers of calls: all that there are, those of x32, and some more.
    fn numbers() -> impl Iterator<Item = u32> {
        (0..520).chain(0x4000_0000..0x4000_0008).chain([0x4000_0209, 0x8000_0000, u32::MAX - 1, u32::MAX])
    }

    #[test]
    fn the_front_finds_the_end_of_a_call_without_checks_in_few_steps() {
        for (program, plain) in &*FILTERS {
            let steps =
                |program, number| run(program, [number, PROCESSOR.1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).1;
            let most = ["write", "exit_group", "openat2", "clone3", "getegid"].map(|name| {
                let number = sys::call_number(name).unwrap() as u32;
                (steps(program, number), steps(plain, number))
            });
            assert!(most.iter().all(|(with_front, _)| *with_front <= 14), "{most:?}");
            assert!(most.iter().any(|(_, without)| *without > 100), "{most:?}");
        }
    }

    proptest! {
        #[test]
        fn a_filter_with_its_front_ends_as_one_without(
            arguments in prop::array::uniform12(prop_oneof![
                0..40_u32, any::<u32>(), Just(OWN_PID), Just(PROGRAM_OUTPUT[0]), Just(PROGRAM_OUTPUT[1]), Just(1030), Just(1034), Just(0x5421), Just(THREAD), Just(0x5356_4d41),
            ]),
        ) {
            for table in [PROCESSOR.1, 0x4000_0003] {
                for number in numbers() {
                    let mut call = [0; 16];
                    (call[0], call[1]) = (number, table);
                    call[4..].copy_from_slice(&arguments);
                    for (program, plain) in &*FILTERS {
                        prop_assert_eq!(run(program, call).0, run(plain, call).0, "{}", number);
                    }
                }
            }
        }
    }

    /// The flags that a thread is made with.
    const THREAD: u32 = 0x1_0f00;
}
