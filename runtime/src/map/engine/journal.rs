//! The journal of a map: which of its tasks need not run, and what is kept of the others.
//!
//! 1. Rows are read and encoded as ever. Before a chunk is sent, each of its tasks is looked up by what it is. Those whose outputs are there
//!    are cut out of the chunk, and have their outcomes at once, in the order of their index.
//! 2. The keys of the others are kept until they have their outcomes. What the workers give is kept as it comes, before it is decoded.
//! 3. An output is decoded for a trial before it is taken: a task whose output cannot be, whatever the worker wrote, runs again.
//! 4. Outputs are read from the file as the window of the call allows. Those behind it wait there, and are read when others have been
//!    yielded, or when nothing else is to come.

use std::collections::{BTreeMap, VecDeque};

use super::batch::{never_begun, taken};
use super::function::MapFunction;
use super::{Engine, WINDOW_BYTES};
use crate::digest::Digest;
use crate::error::{CodecError, Error, Result, TaskErrorKind};
use crate::functions::{EncodedCall, function_text};
use crate::journal::{Journal, NewRecords, OutputForm, OutputPlace, TaskKey};
use crate::map::options::{JournalPath, Options};
use crate::output;
use crate::pool::PoolShared;
use crate::shared::{ContentError, Contents, Names};
use crate::sys;
use crate::task::Output;
use crate::transport::{Chunk, CompletedTasks, Outcomes};
use crate::wire::{LENGTH_BYTES, Status, TaskFrames, record};

/// Outputs that are read at a time, together.
const FOUND_BYTES: usize = 256 * 1024;

/// A length is a hint: so many tasks get room on its word.
const RESERVE_MAX: usize = 1 << 20;

/// The keys of tasks, and where the outputs of those are that are there: no places where none are.
type BegunTasks = (Vec<TaskKey>, Vec<Option<OutputPlace>>);

/// The journal of a call.
pub(super) struct Journaled {
    journal: Journal,
    is_named: bool,
    /// The digest of each task begins with this.
    beginning: Digest,
    /// Of the function alone.
    digest: u64,
    function: MapFunction,
    /// The index of a task is a part of what it is: the call has a seed.
    counts_index: bool,
    /// The workers' printed output is behind each output.
    is_captured: bool,
    contents: Contents,
    /// The keys of tasks that were sent together, by the index of their first, and how many have no outcome.
    sent: BTreeMap<usize, (Vec<TaskKey>, usize)>,
    /// Those of tasks that failed, and may be executed again.
    failed: BTreeMap<usize, TaskKey>,
    /// Tasks whose outputs are there and were not read yet, by their index.
    found: VecDeque<(usize, OutputPlace)>,
    records: NewRecords,
    /// How many tasks were taken from the journal, and how many were sent.
    taken: u64,
    computed: u64,
    /// Some tasks have arguments without content.
    is_passed_over: bool,
}

impl Journaled {
    /// Opens the journal of a call, if it has one.
    pub(super) fn open(
        map_function: MapFunction,
        options: &Options,
        shared: &PoolShared,
        tasks: Option<usize>,
    ) -> Result<Option<Box<Self>>> {
        let (path, is_named) = match options.journal_path()? {
            None => return Ok(None),
            Some(JournalPath::Named(path)) => (path, true),
            Some(JournalPath::Variable(path)) => (path, false),
        };
        let journal = Journal::open(&path)?;
        journal.reserve(tasks.unwrap_or(0).min(RESERVE_MAX));
        let mut contents = Contents::new(journal.key());
        let function = of_function(&journal, map_function);
        let mut beginning = journal.digest();
        beginning.write(&function.to_le_bytes());
        for call in shared.first_calls() {
            add_first_call(&mut beginning, call, &mut contents);
        }
        if let Some(program) = shared.worker_program() {
            let build = sys::build_id_of_file(program).map_err(|error| {
                Error::invalid_option(format!("`journal` needs the build of the workers' program: {error}"))
            })?;
            add_part(&mut beginning, &build);
        }
        beginning.write(&[u8::from(options.seed.is_some())]);
        if let Some(seed) = options.seed {
            beginning.write(&seed.to_le_bytes());
        }
        Ok(Some(Box::new(Self {
            journal,
            is_named,
            beginning,
            digest: function as u64,
            function: map_function,
            counts_index: options.seed.is_some(),
            is_captured: shared.output() == Output::Captured,
            contents,
            sent: BTreeMap::new(),
            failed: BTreeMap::new(),
            found: VecDeque::new(),
            records: NewRecords::default(),
            taken: 0,
            computed: 0,
            is_passed_over: false,
        })))
    }

    /// Whether tasks are at the workers, or will be.
    fn is_computing(&self) -> bool {
        !self.sent.is_empty() || !self.failed.is_empty()
    }

    /// Begins the tasks of a chunk; none if the chunk is to be sent as it is.
    fn begin(&mut self, chunk: &Chunk) -> Result<Option<BegunTasks>> {
        let digests = match self.digests(chunk) {
            Ok(digests) => digests,
            Err(_) if !self.is_named => {
                self.is_passed_over = true;
                return Ok(None);
            }
            Err(error) => return Err(self.refuse(&error)),
        };
        let (mut keys, mut places) = (Vec::with_capacity(digests.len()), Vec::new());
        self.journal.begin(digests.into_iter(), |key, place| {
            if place.is_some() && places.is_empty() {
                places.resize(keys.len(), None);
            }
            if place.is_some() || !places.is_empty() {
                places.push(place);
            }
            keys.push(key);
        });
        Ok(Some((keys, places)))
    }

    fn digests(&mut self, chunk: &Chunk) -> Result<Vec<u128>, ContentError> {
        let names = (!chunk.grants().is_empty()).then(|| Names::new(chunk.grants(), chunk.memory()));
        let mut digests = Vec::with_capacity(chunk.len());
        let mut tasks = TaskFrames::of(chunk.tasks());
        for position in 0..chunk.len() {
            let Ok(arguments) = tasks.next() else {
                break;
            };
            let mut digest = self.beginning.clone();
            if self.counts_index {
                digest.write(&(chunk.index(position) as u64).to_le_bytes());
            }
            match &names {
                None => digest.write(arguments),
                Some(names) => self.contents.add(&mut digest, arguments, names)?,
            }
            digests.push(digest.finish_wide());
        }
        Ok(digests)
    }

    #[cold]
    fn refuse(&self, error: &ContentError) -> Error {
        let path = self.function.registration.path();
        Error::invalid_option(match error {
            ContentError::NoContent => format!(
                "`journal` cannot be used for `{path}`: an argument is an object that tasks share, an array that they write, or a \
                 descriptor, which has no contents to find its output by: leave the option out",
            ),
            ContentError::Unreadable(error) => {
                format!(
                    "`journal` cannot be used for `{path}`: an argument in shared memory could not be read: {error}"
                )
            }
        })
    }

    /// Keeps what is good of outcomes that have come.
    fn keep(&mut self, done: &CompletedTasks, executes_again: bool) {
        let Self { journal, digest, is_captured, sent, failed, records, .. } = self;
        let form = if *is_captured { OutputForm::Captured } else { OutputForm::Plain };
        let alone = failed.remove(&done.first_index);
        let before = sent.range_mut(..=done.first_index).next_back();
        let of_chunk = before.filter(|(first, (keys, _))| done.first_index < **first + keys.len());
        let (keys, is_last, first) = match (&alone, of_chunk) {
            (Some(key), _) => (std::slice::from_ref(key), false, 0),
            (None, Some((&first, (keys, left)))) => {
                *left = left.saturating_sub(done.count);
                (&keys[done.first_index - first..], *left == 0, first)
            }
            // They are of no chunk, or of one without keys.
            (None, None) => return,
        };
        let mut outcomes = 0;
        let mut fail = |position: usize| {
            if executes_again && let Some(key) = keys.get(position) {
                failed.insert(done.first_index + position, *key);
            }
        };
        if let Outcomes::Records(results) = &done.outcomes {
            results.visit(|status, payload| {
                match (status, keys.get(outcomes)) {
                    (Status::Output, Some(key)) => records.add(journal, *key, *digest, form, payload),
                    _ => fail(outcomes),
                }
                outcomes += 1;
            });
        }
        (outcomes..done.count).for_each(fail);
        if is_last {
            sent.remove(&first);
        }
    }

    /// Appends the output at a place as a record of a result, if it is one of the function's; returns whether it is.
    fn read(&self, place: OutputPlace, records: &mut Vec<u8>) -> bool {
        let mut payload = Vec::new();
        if self.journal.read(place, &mut payload).is_err() {
            return false;
        }
        let output_bytes = match place.form {
            OutputForm::Plain => payload.len(),
            OutputForm::Captured => match output::split(&payload) {
                Ok((output, _)) => output.len(),
                Err(_) => return false,
            },
        };
        if !(self.function.is_output)(&payload[..output_bytes]) {
            return false;
        }
        match (place.form, self.is_captured) {
            (OutputForm::Plain, true) => output::append_nothing_printed(&mut payload),
            (OutputForm::Captured, false) => payload.truncate(output_bytes),
            _ => {}
        }
        records.extend(record(Status::Output, &payload));
        true
    }

    /// Says what was taken, once for each function that the journal had outputs of.
    fn report(&self) {
        let Self { journal, taken, computed, .. } = self;
        let path = self.function.registration.path();
        if self.is_passed_over {
            journal.report(&format!("tasks of `{path}` have arguments that it cannot compare, and run without it"));
        }
        if taken + computed > 0 && journal.reports(self.digest) {
            journal.report(&format!(
                "{taken} tasks of `{path}` were finished before, and {computed} are computed (they were not finished, or have other \
                 arguments)",
            ));
        }
    }
}

impl Drop for Journaled {
    fn drop(&mut self) {
        if self.journal.is_here() {
            self.report();
        }
    }
}

/// A digest of a function by what another run of the program knows it by.
fn of_function(journal: &Journal, function: MapFunction) -> u128 {
    let mut digest = journal.digest();
    digest.write(&[u8::from(function.sends_output)]);
    digest.write(function_text(function.registration).as_bytes());
    digest.finish_wide()
}

/// Adds bytes that end where the next part begins.
fn add_part(digest: &mut Digest, bytes: &[u8]) {
    digest.write(&(bytes.len() as u64).to_le_bytes());
    digest.write(bytes);
}

/// Adds the call that workers begin with. Where its arguments have no contents, it is known by its function.
fn add_first_call(digest: &mut Digest, call: &EncodedCall, contents: &mut Contents) {
    add_part(digest, function_text(call.function).as_bytes());
    let names = Names::new(&call.collected.grants, call.collected.memory.iter());
    let mut arguments = digest.clone();
    if contents.add(&mut arguments, &call.task[LENGTH_BYTES..], &names).is_ok() {
        digest.write(&arguments.finish_wide().to_le_bytes());
    }
}

impl Engine {
    /// Sends the tasks of a chunk whose outputs are not there.
    pub(super) fn send_unknown(&mut self, chunk: Chunk) {
        let Some(journaled) = self.journal.as_mut().filter(|_| self.shared.is_here()) else {
            return self.send(chunk);
        };
        let (keys, mut places) = match journaled.begin(&chunk) {
            Ok(Some(begun)) => begun,
            Ok(None) => return self.send(chunk),
            Err(error) => return self.fail(error),
        };
        if places.is_empty() {
            return self.send_keyed(chunk, keys);
        }
        let (mut left, mut at) = (chunk, 0);
        while at < places.len() {
            let missing = places[at..].iter().take_while(|place| place.is_none()).count();
            if missing > 0 {
                let rest = left.split(missing);
                self.send_keyed(left, keys[at..at + missing].to_vec());
                (left, at) = (rest, at + missing);
                continue;
            }
            let (count, records) = self.read_run(&mut places[at..]);
            let rest = left.split(count);
            self.outstanding_bytes -= left.weight;
            self.found(left.index(0), &places[at..at + count], records);
            (left, at) = (rest, at + count);
        }
    }

    fn send_keyed(&mut self, chunk: Chunk, keys: Vec<TaskKey>) {
        if let Some(journaled) = &mut self.journal {
            journaled.computed += keys.len() as u64;
            journaled.sent.insert(chunk.index(0), (keys, chunk.len()));
        }
        self.send(chunk);
    }

    /// Reads the outputs at the first places; returns of how many tasks, and their records. A place where none of the function's is becomes none.
    fn read_run(&self, places: &mut [Option<OutputPlace>]) -> (usize, Vec<u8>) {
        let (mut count, mut records) = (0, Vec::new());
        while records.len() < FOUND_BYTES
            && let Some(place) = places.get_mut(count)
            && let Some(known) = *place
        {
            if !self.journal.as_ref().is_some_and(|journaled| journaled.read(known, &mut records)) {
                *place = None;
                break;
            }
            count += 1;
        }
        (count, records)
    }

    /// Gives tasks their outcomes, which these records are, or has them wait.
    fn found(&mut self, first_index: usize, places: &[Option<OutputPlace>], records: Vec<u8>) {
        let Some(journaled) = &mut self.journal else {
            return;
        };
        journaled.taken += places.len() as u64;
        if journaled.found.is_empty() && self.outstanding_bytes + records.len() < WINDOW_BYTES {
            return self.give(first_index, places.len(), records);
        }
        journaled.found.extend((first_index..).zip(places.iter().flatten().copied()));
    }

    fn give(&mut self, first_index: usize, count: usize, records: Vec<u8>) {
        if count > 0 {
            self.outstanding_bytes += records.len();
            self.has_results = true;
            self.arrived(taken(first_index, count, records));
        }
    }

    /// Rule 4: reads some of the outputs that wait; returns whether there were some to be read now.
    pub(super) fn take_found(&mut self) -> bool {
        let Some(journaled) = &mut self.journal else {
            return false;
        };
        let is_to_wait = self.outstanding_bytes >= WINDOW_BYTES && journaled.is_computing();
        let Some(&(first_index, _)) = journaled.found.front().filter(|_| !is_to_wait) else {
            return false;
        };
        let (mut count, mut records, mut is_lost) = (0, Vec::new(), false);
        while records.len() < FOUND_BYTES
            && !is_lost
            && let Some(&(_, place)) = journaled.found.front().filter(|(index, _)| *index == first_index + count)
        {
            journaled.found.pop_front();
            // It could be read before.
            is_lost = !journaled.read(place, &mut records);
            count += usize::from(!is_lost);
        }
        self.give(first_index, count, records);
        if is_lost {
            let error = TaskErrorKind::Decode(CodecError::new("its output in the journal could not be read again"));
            self.arrived(never_begun(first_index + count, 1, error));
        }
        true
    }

    /// Keeps what is good of outcomes that have come.
    pub(super) fn keep_outputs(&mut self, done: &[CompletedTasks]) {
        let executes_again = self.again.is_some();
        if let Some(journaled) = &mut self.journal {
            done.iter().for_each(|done| journaled.keep(done, executes_again));
            journaled.records.send(&journaled.journal);
        }
    }

    /// A task that has failed is not executed again.
    pub(super) fn forget_key(&mut self, index: usize) {
        if let Some(journaled) = &mut self.journal {
            journaled.failed.remove(&index);
        }
    }

    /// How many tasks were taken from the journal so far.
    pub(super) fn taken(&self) -> u64 {
        self.journal.as_ref().map_or(0, |journaled| journaled.taken)
    }
}
