//! Every system call and every unsafe block, behind safe functions that cannot be misused; the only owner of nix.

mod at_exit;
mod backtrace;
mod bare_thread;
mod beside;
mod binding;
mod build_id;
#[cfg(poolmap_sandbox)]
mod capabilities;
mod clocks;
mod copied_thread;
mod crash;
mod crash_record;
mod crash_slot;
mod environment;
mod fences;
mod filling;
#[cfg(feature = "backtrace")]
mod foreign_file;
mod forks;
mod held;
mod host_name;
mod interrupted;
mod launcher_variables;
#[cfg_attr(not(feature = "sandbox"), allow(dead_code, reason = "there is no sandbox that has any"))]
mod lazy_namespaces;
mod lease;
mod liveness_lock;
mod loaded_files;
mod memory;
mod message;
mod mpi;
mod namespaces;
mod oom_kills;
mod output_descriptors;
mod page;
mod pages;
mod peer;
mod placement;
mod pod;
mod poll;
mod process;
mod program;
mod racing;
mod random;
mod refusal;
mod ring;
mod rlimit;
mod sandbox_calls;
#[cfg(poolmap_sandbox)]
mod sandbox_file_facts;
#[cfg(poolmap_sandbox)]
mod sandbox_namespaces;
#[cfg(poolmap_sandbox)]
mod sandbox_notes;
#[cfg(poolmap_sandbox)]
mod sandbox_opened;
#[cfg(poolmap_sandbox)]
mod sandbox_setup;
#[cfg(poolmap_sandbox)]
mod sandbox_threads;
#[cfg(poolmap_sandbox)]
mod sandbox_trap;
mod sandbox_walls;
mod seals;
#[cfg(feature = "__failpoints")]
mod self_signal;
mod seqpacket;
mod shared_memory;
mod signal_action;
mod socket;
mod spawn;
mod spawn_symbols;
mod stack;
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    allow(dead_code, reason = "there is no list of loaded files")
)]
mod stack_record;
mod stack_request;
mod stack_room;
mod stack_walk;
mod surroundings;
mod terminal;
mod termination;
mod unnamed_file;
mod view;
mod waker;
mod worker_setup;

pub(crate) use at_exit::at_exit;
pub(crate) use bare_thread::start_bare_thread;
pub(crate) use beside::{Beside, CAN_COPY_BESIDE, CopySetup, NoMoreThreads, become_copied_worker, copy_beside};
pub(crate) use binding::undo_binding;
pub(crate) use build_id::{build_id, build_id_of_file};
pub(crate) use clocks::{monotonic_nanos, peak_bytes, thread_cpu_nanos};
pub(crate) use copied_thread::{TASK_THREAD_NAME, go_on_in_thread};
pub(crate) use crash::{TaskLimits, install_crash_handlers, watch_crashes, watch_crashes_again};
pub(crate) use crash_record::{CRASH_WORDS, Crash, DENIED_PATH_WORDS, Reason, path_from_words};
pub(crate) use crash_slot::{AroundWords, CrashSlot};
pub(crate) use environment::{WORKER_VARIABLE, is_secure, take_variable, variable};
pub(crate) use fences::{fence_registered, register_for_fences};
pub(crate) use filling::Filling;
#[cfg(feature = "backtrace")]
pub(crate) use foreign_file::{open_foreign_file, user};
pub(crate) use forks::{ForkMark, PerProcess, exit_fork, is_fork};
pub(crate) use held::Held;
pub(crate) use host_name::host_name;
pub(crate) use lazy_namespaces::LazyNamespaces;
#[cfg(feature = "sandbox")]
pub(crate) use lazy_namespaces::{has_threads, note_threads};
pub(crate) use lease::Lease;
pub(crate) use liveness_lock::{FileIdentity, LivenessLock, identity, is_locked_by_another, process_exists};
pub(crate) use memory::{Region, Words, is_short_of_descriptors, raced_memory};
pub(crate) use mpi::{
    MpiArrival, MpiCandidates, MpiError, MpiLauncher, MpiLibrary, MpiReceiving, MpiSending, MpiSession, exit_now,
};
#[cfg(feature = "sandbox")]
pub(crate) use namespaces::NamespaceKinds;
pub(crate) use namespaces::Namespaces;
pub(crate) use output_descriptors::receive_outputs;
pub(crate) use page::page_bytes;
pub(crate) use pages::{Pages, Part};
pub(crate) use placement::{add_nice, allowed_cpus, cpu_count, set_process_name};
pub(crate) use pod::{
    IsVec, Plain, Same, bytes_of, for_each_plain, is_number, may_be_number, number_from, numbers_of, plain_bytes,
    plain_left, type_id, write_number,
};
pub(crate) use poll::{Watch, poll, wait_for_hang_up};
pub(crate) use process::{
    CAN_TELL_CPU_TIME, ChildProcess, End, anonymous_bytes, children_of_this_thread, cpu_time, resident_bytes,
};
pub(crate) use program::{c_path, check_executable, own_file, own_program};
pub(crate) use random::random;
pub(crate) use refusal::{explained, start_error};
#[cfg(test)]
#[cfg(poolmap_linux)]
pub(crate) use ring::ring_in_test;
pub(crate) use ring::{Ring, RingWriter};
pub(crate) use rlimit::{
    CAN_LIMIT_MEMORY, address_space_bytes, check_file_bytes, descriptors_max, fail_behind_file_limit, file_bytes_max,
    limit_memory, taken_bytes,
};
#[cfg(poolmap_sandbox)]
pub(crate) use rlimit::{limit_uncounted_memory, limit_waiting_signals};
pub(crate) use sandbox_calls::call_name;
#[cfg(feature = "sandbox")]
pub(crate) use sandbox_calls::call_number;
#[cfg(poolmap_sandbox)]
pub(crate) use sandbox_namespaces::enter_user_namespace;
#[cfg(poolmap_sandbox)]
pub(crate) use sandbox_notes::{FilterInstruction, NotedCall, note_calls};
#[cfg(poolmap_sandbox)]
pub(crate) use sandbox_setup::{clear_environment, forbid_dumps};
#[cfg(poolmap_sandbox)]
pub(crate) use sandbox_threads::{answer_confinement, confine_threads};
#[cfg(poolmap_sandbox)]
pub(crate) use sandbox_trap::{DeniedCalls, excused, prepare_for_sandbox};
#[cfg(feature = "sandbox")]
pub(crate) use sandbox_walls::{HAS_SANDBOX, can_ask_about_calls, can_filter_calls, landlock_version};
#[cfg(not(poolmap_sandbox))]
pub(crate) use sandbox_walls::{answer_confinement, excused};
#[cfg(test)]
#[cfg(poolmap_linux)]
pub(crate) use seals::in_test as seals_in_test;
pub(crate) use seals::{
    CAN_SEAL, is_sealed_against_all_writers, is_sealed_against_writers, seal_against_all_writers, seal_against_writers,
};
#[cfg(feature = "__failpoints")]
pub(crate) use self_signal::{kill_self, stop_self};
pub(crate) use seqpacket::{is_too_long, packet_pair, receive_packet, send_packet, shut_down_packets};
pub(crate) use shared_memory::{CommonMemory, common_memory, filled_bytes, is_filled, memory_bytes, memory_file};
pub(crate) use socket::{
    FromParent, SocketToParent, Wait, is_hung_up, pair, receive, receive_with_descriptors, send, send_with_descriptors,
};
pub(crate) use spawn::{Group, Spawn, Stdout, open_null};
#[cfg(feature = "backtrace")]
pub(crate) use stack_record::header_hash;
pub(crate) use stack_record::{LoadedFile, NativeFrame, NativeStack, STACK_WORDS};
pub(crate) use stack_room::{StackRoom, stack_room};
pub(crate) use surroundings::{
    Surroundings, SurroundingsChanges, assignment, given_default, set_umask, variable_mistake,
};
#[cfg(feature = "progress")]
pub(crate) use terminal::terminal_columns;
pub(crate) use termination::{is_asked_to_end, watch_termination};
#[cfg(poolmap_sandbox)]
pub(crate) use unnamed_file::program_output;
pub(crate) use unnamed_file::{
    WHOLE_BYTES_MAX, appended_file, file, flush_c_streams, forget_before, own_output, replace_output, set_output_kept,
    set_program_output, unnamed_file, write_within,
};
pub(crate) use view::{ReadWord, View};
pub(crate) use waker::Waker;
pub(crate) use worker_setup::{Folder, become_worker, keep_freed_memory, kill_own_group, replace_stdout, stdout};
