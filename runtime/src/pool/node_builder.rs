//! The options of a pool as bytes: what the pools of other machines are made with is what the driver's program has asked for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use super::builder::Builder;
use super::handle::Pool;
use super::per_worker::{Affinity, EachEnvironment};
use super::recycling::Retirement;
use super::rules::{LifecycleCall, StartMethod};
use crate::codec::{self, message_struct};
use crate::error::{Error, Result};
use crate::functions::{self, EncodedCall};
use crate::shared::Collected;
use crate::task::Output;

/// The variables of so many workers of a node are asked for, and later ones begin again with the first.
const ENVIRONMENTS_MAX: usize = 256;
/// Their options take no more.
const OPTIONS_BYTES_MAX: usize = 1 << 30;

message_struct! {
    struct CallForm {
        function: u32,
        task: Vec<u8>,
    }
}

type Bytes = Vec<u8>;

message_struct! {
    struct OptionsForm {
        workers: Option<u64>,
        startup_timeout: Duration,
        frame_bytes_max: u64,
        stack_bytes: u64,
        memory_limit: Option<u64>,
        /// Tasks, memory, idle time and age.
        retirement: (Option<u64>, Option<u64>, Option<Duration>, Option<Duration>),
        initializer: (Option<CallForm>, Option<Duration>),
        finalizer: (Option<CallForm>, Option<Duration>),
        /// Whether each task has a process of its own, and each worker memory of its own.
        isolation: (bool, bool),
        /// Whether there is a fork server, and what it begins with.
        start: (Option<bool>, Option<CallForm>, Duration),
        output: u8,
        surroundings: SurroundingsForm,
        sandbox: Option<Bytes>,
    }
}

message_struct! {
    struct SurroundingsForm {
        clears: bool,
        variables: Vec<(Bytes, Option<Bytes>)>,
        folder: Option<Bytes>,
        program: Option<Bytes>,
        threads_per_worker: Option<u64>,
        nice: i32,
        /// 1 for one core, 2 for a share.
        affinity: u8,
        name: Option<String>,
        each: Vec<Vec<(Bytes, Bytes)>>,
    }
}

const OUTPUTS: [Output; 3] = [Output::Inherited, Output::Tagged, Output::Captured];

impl Builder {
    /// The options as bytes, and how many workers they ask for.
    ///
    /// # Errors
    ///
    /// An initializer, a finalizer or a preload has arguments that name memory of this machine.
    pub(super) fn to_options(&self) -> Result<Vec<u8>> {
        let Retirement { tasks_max, memory_max, idle_timeout, age_max } = self.retirement;
        let form = OptionsForm {
            workers: self.workers.map(|workers| workers as u64),
            startup_timeout: self.startup_timeout,
            frame_bytes_max: self.frame_bytes_max as u64,
            stack_bytes: self.stack_bytes as u64,
            memory_limit: self.memory_limit,
            retirement: (tasks_max.map(|tasks| tasks as u64), memory_max, idle_timeout, age_max),
            initializer: (call_form("initializer", self.initializer.call.as_ref())?, self.initializer.timeout),
            finalizer: (call_form("finalizer", self.finalizer.call.as_ref())?, self.finalizer.timeout),
            isolation: (self.fresh_process, self.private_memory),
            start: (
                self.start_method.map(|method| method == StartMethod::ForkServer),
                call_form("preload", self.preload.call.as_ref())?,
                self.preload.timeout,
            ),
            output: OUTPUTS.iter().position(|output| *output == self.output).unwrap_or(0) as u8,
            surroundings: self.surroundings_form()?,
            sandbox: self.sandbox_form()?,
        };
        let mut bytes = Vec::new();
        codec::encode(&form, &mut bytes, OPTIONS_BYTES_MAX)
            .map_err(|error| Error::invalid_option(format!("the options of the nodes' pools: {error}")))?;
        Ok(bytes)
    }

    fn surroundings_form(&self) -> Result<SurroundingsForm> {
        let options = &self.surroundings;
        let (clears, variables, folder) = options.changes.parts();
        let bytes = |text: &OsStr| text.as_bytes().to_vec();
        let pair = |(name, value): &(OsString, Option<OsString>)| (bytes(name), value.as_deref().map(bytes));
        let each = match &options.per_worker.each {
            Some(each) => (0..ENVIRONMENTS_MAX).map(|worker| each.pairs(worker)).collect(),
            None => Vec::new(),
        };
        Ok(SurroundingsForm {
            clears,
            variables: variables.iter().map(pair).collect(),
            folder: folder.map(|folder| bytes(folder.as_os_str())),
            program: self.program.as_ref().map(|program| bytes(program.as_os_str())),
            threads_per_worker: options.threads_per_worker.map(|threads| threads as u64),
            nice: options.nice,
            affinity: match options.per_worker.affinity {
                None => 0,
                Some(Affinity::OneCore) => 1,
                Some(Affinity::Spread) => 2,
            },
            name: options.per_worker.name.clone(),
            each: each
                .into_iter()
                .map(|pairs| pairs.iter().map(|(name, value)| (bytes(name), bytes(value))).collect())
                .collect(),
        })
    }
}

/// Nobody has a sandbox.
#[cfg(not(feature = "sandbox"))]
impl Builder {
    fn sandbox_form(&self) -> Result<Option<Bytes>> {
        Ok(None)
    }

    fn set_sandbox_form(&mut self, form: Option<Bytes>) -> Result<()> {
        match form {
            None => Ok(()),
            Some(_) => {
                Err(Error::start("the driver's pool has a sandbox, and this program is built without that feature"))
            }
        }
    }
}

/// A call whose arguments name no memory of this machine.
fn call_form(option: &str, call: Option<&EncodedCall>) -> Result<Option<CallForm>> {
    let Some(EncodedCall { function, task, collected }) = call else {
        return Ok(None);
    };
    if !collected.memory.is_empty() {
        return Err(Error::invalid_option(format!(
            "the arguments of `{option}` of the global pool name memory or a descriptor of this machine, which other nodes cannot have: \
             pass the value itself, or make a pool of your own",
        )));
    }
    Ok(Some(CallForm { function: function.index(), task: task.clone() }))
}

/// Builds the pool of a node with the options of the driver's program; with so many workers, if that says nothing.
///
/// # Errors
///
/// Those of [`Builder::build`]; the bytes are no options.
pub(crate) fn of_node(options: &[u8], workers: usize) -> Result<Pool> {
    let form: OptionsForm =
        codec::decode(options).map_err(|error| Error::start(format!("the driver's options of its pool: {error}")))?;
    builder(form, workers)?.build()
}

fn builder(form: OptionsForm, workers: usize) -> Result<Builder> {
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let (tasks_max, memory_max, idle_timeout, age_max) = form.retirement;
    let mut builder = Builder::new();
    builder.is_of_node = true;
    builder.workers = Some(form.workers.map_or(workers, size));
    builder.startup_timeout = form.startup_timeout;
    builder.frame_bytes_max = size(form.frame_bytes_max);
    builder.stack_bytes = size(form.stack_bytes);
    builder.memory_limit = form.memory_limit;
    builder.retirement = Retirement { tasks_max: tasks_max.map(size), memory_max, idle_timeout, age_max };
    builder.initializer = LifecycleCall { call: call(form.initializer.0)?, timeout: form.initializer.1 };
    builder.finalizer = LifecycleCall { call: call(form.finalizer.0)?, timeout: form.finalizer.1 };
    (builder.fresh_process, builder.private_memory) = form.isolation;
    let (is_fork_server, preload, timeout) = form.start;
    builder.start_method =
        is_fork_server.map(|is_server| if is_server { StartMethod::ForkServer } else { StartMethod::Spawn });
    builder.preload.call = call(preload)?;
    builder.preload.timeout = timeout;
    builder.output = OUTPUTS.get(usize::from(form.output)).copied().unwrap_or_default();
    let SurroundingsForm { clears, variables, folder, program, threads_per_worker, nice, affinity, name, each } =
        form.surroundings;
    let options = &mut builder.surroundings;
    if clears {
        options.changes.clear();
    }
    for (name, value) in variables {
        match value {
            Some(value) => options.changes.set(OsString::from_vec(name), OsString::from_vec(value)),
            None => options.changes.remove(OsString::from_vec(name)),
        }
    }
    let path = |bytes: Bytes| PathBuf::from(OsString::from_vec(bytes));
    folder.map(path).into_iter().for_each(|folder| options.changes.set_folder(folder));
    options.threads_per_worker = threads_per_worker.map(size);
    options.nice = nice;
    options.per_worker.affinity = match affinity {
        1 => Some(Affinity::OneCore),
        2 => Some(Affinity::Spread),
        _ => None,
    };
    options.per_worker.name = name;
    options.per_worker.each = (!each.is_empty()).then(|| {
        EachEnvironment::new(move |worker| {
            let of_worker = each[worker % each.len()].iter();
            let pair =
                |(name, value): &(Bytes, Bytes)| (OsString::from_vec(name.clone()), OsString::from_vec(value.clone()));
            of_worker.map(pair).collect::<Vec<_>>()
        })
    });
    builder.program = program.map(path);
    builder.set_sandbox_form(form.sandbox)?;
    Ok(builder)
}

fn call(form: Option<CallForm>) -> Result<Option<EncodedCall>> {
    let Some(CallForm { function, task }) = form else {
        return Ok(None);
    };
    let function = functions::function(function)
        .ok_or_else(|| Error::start("the driver's pool begins with a function that this program does not have"))?;
    Ok(Some(EncodedCall { function, task, collected: Collected::default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_out_as_they_went_in() {
        let before = Builder::new()
            .workers(7)
            .max_tasks_per_worker(1)
            .fresh_process()
            .memory_limit(1 << 30)
            .env("A", "1")
            .env_remove("B")
            .env_for_each(|worker| [("GPU", worker.to_string())])
            .affinity(Affinity::Spread)
            .nice(3)
            .name("thumbs")
            .output(Output::Tagged);
        #[cfg(feature = "sandbox")]
        let before = before.sandbox(
            crate::sandbox::Sandbox::strict()
                .read("/")
                .connect(443)
                .threads(3)
                .allow("getcwd")
                .deny_quietly()
                .without_namespaces(),
        );
        let bytes = before.to_options().unwrap();
        let mut after = builder(codec::decode(&bytes).unwrap(), 2).unwrap();
        assert!(std::mem::take(&mut after.is_of_node));
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
        assert_eq!(after.surroundings.per_worker.each.unwrap().pairs(3), [("GPU".into(), "3".into())]);
        let bytes = Builder::new().to_options().unwrap();
        assert_eq!(builder(codec::decode(&bytes).unwrap(), 2).unwrap().workers, Some(2));
    }

    #[test]
    fn bytes_that_are_no_options_are_an_error() {
        let bytes = Builder::new().env("A", "1").to_options().unwrap();
        for cut in 0..bytes.len() {
            assert!(of_node(&bytes[..cut], 1).unwrap_err().is_start_failure(), "cut at {cut}");
        }
    }
}
