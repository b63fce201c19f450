//! The filter of system calls, as the instructions of the kernel's machine (seccomp(2), "Seccomp BPF").
//!
//! 1. The parent compiles it, once for a pool. The number of the worker, which some calls must name, and the descriptors that it prints by
//!    are put in by the worker.
//! 2. A call that no rule allows sends SIGSYS to its thread (`sys/sandbox_trap`). One of another table (of 32 bits) ends the process.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads, sock_filter,
};

use super::calls::ArgumentCheck;
use crate::sys::{self, FilterInstruction};

/// Stands for the number of the worker's process. No other number in a filter is it: flags and numbers of calls are small, and no process
/// has this one, which is above the kernel's most (2^22).
const OWN_PID: u32 = 0x706f_6f6c;
/// Stand for the descriptors by which a worker that keeps its output reaches its program's. Descriptors are below 2^30.
const PROGRAM_OUTPUT: [u32; 2] = [OWN_PID + 1, OWN_PID + 2];

#[cfg(target_arch = "x86_64")]
const PROCESSOR: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const PROCESSOR: TargetArch = TargetArch::aarch64;

/// Compiles rules; each instruction is a number.
pub(super) fn compile<'a>(
    allowed: impl IntoIterator<Item = (&'a str, &'a [ArgumentCheck])>,
) -> Result<Vec<u64>, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    let mut unchecked = Vec::new();
    for (call, checks) in allowed {
        // Old calls are of some processors only.
        let Some(number) = sys::call_number(call) else {
            continue;
        };
        let rules_of_call = rules.entry(number).or_default();
        if checks.is_empty() {
            unchecked.push(number);
        } else {
            let conditions = checks.iter().flat_map(conditions).collect::<Result<Vec<_>, _>>()?;
            rules_of_call.push(SeccompRule::new(conditions)?);
        }
    }
    // A call without rules is allowed with any arguments.
    for number in unchecked {
        rules.insert(number, Vec::new());
    }
    let filter = SeccompFilter::new(rules, SeccompAction::Trap, SeccompAction::Allow, PROCESSOR)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(program.iter().map(packed).collect())
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
            let outputs = [1, 2].into_iter().chain(PROGRAM_OUTPUT);
            outputs.map(|output| SeccompCondition::new(place, Dword, SeccompCmpOp::Ne, output.into())).collect()
        }
    }
}

fn packed(instruction: &sock_filter) -> u64 {
    let sock_filter { code, jt, jf, k } = *instruction;
    u64::from(code) | u64::from(jt) << 16 | u64::from(jf) << 24 | u64::from(k) << 32
}

fn unpacked(instruction: u64) -> sock_filter {
    let [code @ .., jt, jf, _, _, _, _] = instruction.to_le_bytes();
    let k = (instruction >> 32) as u32;
    let k = match k {
        OWN_PID => std::process::id(),
        _ => PROGRAM_OUTPUT.iter().position(|&output| output == k).map_or(k, |place| sys::program_output()[place]),
    };
    sock_filter { code: u16::from_le_bytes(code), jt, jf, k }
}

/// Raises the wall around every thread of this process.
pub(super) fn apply(program: &[u64]) -> io::Result<()> {
    let program: BpfProgram = program.iter().map(|instruction| unpacked(*instruction)).collect();
    apply_filter_all_threads(&program).map_err(io::Error::other)
}

/// The same filter, where a denied call is asked about instead, and a call of another table is made.
pub(super) fn noting(program: &[u64]) -> Vec<FilterInstruction> {
    /// BPF_RET with a constant.
    const RETURN: u16 = 0x06;
    /// What the kernel takes for the actions (seccomp(2)).
    const TRAP: u32 = 0x0003_0000;
    const KILL: u32 = 0x8000_0000;
    const ALLOW: u32 = 0x7fff_0000;
    const ASK: u32 = 0x7fc0_0000;

    let noting = |instruction: &u64| {
        let sock_filter { code, jt, jf, k } = unpacked(*instruction);
        let action = match (code, k) {
            (RETURN, TRAP) => ASK,
            (RETURN, KILL) => ALLOW,
            _ => k,
        };
        (code, jt, jf, action)
    };
    program.iter().map(noting).collect()
}

#[cfg(test)]
mod tests {
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
}
