//! The time of a task, and how many tasks one calling thread can feed to more processors than this machine has.

use std::fmt::Write as _;

use super::numbers::{cell, ratio, time};
use crate::figures::Measures;
use crate::measures::load::{BYTES, CALLERS, MICROS};
use crate::runs::WORKERS;

/// Workers of machines that are larger than this one.
const LARGE: [usize; 2] = [64, 256];

/// The table at the top: a task of so much work and so many bytes takes so long.
pub fn costs(measures: &Measures) -> String {
    let mut table = format!(
        "A task takes, in a long map over {WORKERS} workers (in brackets: times its own CPU time, shared by the workers):\n\n\
         | CPU time of a task | {} |\n|--:|{}\n",
        BYTES.map(|bytes| format!("{} of arguments", bytes_of(bytes))).join(" | "),
        "--:|".repeat(BYTES.len()),
    );
    for micros in MICROS {
        let cells = BYTES.map(|bytes| {
            let taken = measures.get(&format!("task {micros} {bytes}"));
            let share = micros * 1e-6 / WORKERS as f64;
            let times = taken.filter(|_| micros > 0.0).map(|taken| format!(" ({})", ratio(taken / share)));
            format!("{}{}", cell(taken, time), times.unwrap_or_default())
        });
        let own = if micros == 0.0 { "none".to_owned() } else { time(micros * 1e-6) };
        let _ = writeln!(table, "| {own} | {} |", cells.join(" | "));
    }
    table
}

fn bytes_of(bytes: usize) -> String {
    match bytes {
        0 => "8 B".to_owned(),
        bytes => format!("{} KiB", bytes / 1024),
    }
}

/// The model of larger machines, and several callers, as a section.
pub fn section(measures: &Measures) -> String {
    let mut section = format!(
        "## More processors than this machine has\n\n\
         This is a model, made from parts that were measured here, and not a measurement. One thread that maps pulls the rows, writes \
         the arguments, and decodes the results of all workers. Its own CPU time for a task of no work (the first column) is the \
         limit: it feeds one task in that time. n workers take n tasks in the CPU time of one and what the worker adds. The lower \
         of the two is what a map does.\n\n\
         The model assumes that the calling thread has a processor for itself, that the memory is as fast for all workers together as \
         it is for {WORKERS}, and that a worker costs the caller no more among many (with 1,000 workers on {WORKERS} processors \
         a task costs the caller {} times as much).\n\n\
         | arguments | caller, a task | CPU time of a task | {} | the caller is the limit from |\n|--:|--:|--:|{}--:|\n",
        cell(crowd(measures), ratio),
        LARGE.map(|workers| format!("{workers} workers: tasks a second")).join(" | "),
        "--:|".repeat(LARGE.len()),
    );
    for bytes in BYTES {
        let Some(caller) = measures.get(&format!("caller 0 {bytes}")) else {
            continue;
        };
        // With no work, the caller and the workers share the processors of this machine.
        let task = measures.get(&format!("task 0 {bytes}")).unwrap_or_default();
        let worker = (task * WORKERS as f64 - caller).max(0.0);
        for micros in MICROS.into_iter().filter(|micros| (1.0..=100.0).contains(micros)) {
            let each = micros * 1e-6 + worker;
            let rates = LARGE.map(|workers| thousands((1.0 / caller).min(workers as f64 / each)));
            let _ = writeln!(
                section,
                "| {} | {} | {} | {} | {:.0} workers |",
                bytes_of(bytes),
                time(caller),
                time(micros * 1e-6),
                rates.join(" | "),
                (each / caller).ceil(),
            );
        }
    }
    section.push_str(
        "\nTo feed more tasks than that, map from several threads. Over one pool of this machine, 2,000,000 tasks of no work, shared by so many \
         calling threads: the wall time falls no further than the two processors allow, and the CPU time of all callers together says \
         whether they stand in each other's way.\n\n\
         | calling threads | a task | the callers' CPU time, a task | to one caller |\n|--:|--:|--:|--:|\n",
    );
    let alone = measures.get("callers 1 cpu");
    for threads in CALLERS {
        let (wall, cpu) =
            (measures.get(&format!("callers {threads} wall")), measures.get(&format!("callers {threads} cpu")));
        let to_one = cpu.zip(alone).map(|(cpu, alone)| cpu / alone);
        let _ =
            writeln!(section, "| {threads} | {} | {} | {} |", cell(wall, time), cell(cpu, time), cell(to_one, ratio));
    }
    section
}

/// How much more a task costs the caller with many workers.
fn crowd(measures: &Measures) -> Option<f64> {
    let of = |workers: usize| measures.get(&format!("crowd {workers} chunks"));
    Some(of(crate::measures::CROWD)? / of(WORKERS)?)
}

fn thousands(rate: f64) -> String {
    if rate >= 1e6 { format!("{:.1} million", rate / 1e6) } else { format!("{:.0} thousand", rate / 1e3) }
}
