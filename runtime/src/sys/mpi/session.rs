//! MPI between its start and its end, on one thread: messages to and from ranks, without waiting. It knows nothing of what the messages
//! mean.

use std::ffi::c_int;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;

use super::abi::RawStatus;
use super::calls::{Code, RawRequest};
use super::library::MpiLibrary;

/// The bytes of a message that is sent: several requests may send parts of one.
pub(crate) type MpiBody = Rc<Vec<u8>>;

/// MPI, started on this thread.
///
/// It can be neither sent to another thread nor used from one: it is neither `Send` nor `Sync`, by its last field.
pub(crate) struct MpiSession {
    library: MpiLibrary,
    rank: usize,
    size: usize,
    host: String,
    /// Neither `Send` nor `Sync`.
    _thread: PhantomData<*const ()>,
}

/// Why a call of MPI failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MpiError {
    call: &'static str,
    text: String,
    is_process_failed: bool,
}

/// A message that is there, and has not been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MpiArrival {
    pub(crate) from: usize,
    pub(crate) tag: u16,
    pub(crate) bytes: usize,
}

/// A message on its way. Its bytes are kept until MPI has finished with them; if it is dropped earlier, they are never freed.
#[must_use = "its bytes are leaked if it is dropped before it has been sent"]
pub(crate) struct MpiSending {
    request: RawRequest,
    body: ManuallyDrop<MpiBody>,
    bytes: usize,
    is_done: bool,
}

/// A message that is being received. If it is dropped before that has ended, its memory is never freed.
#[must_use = "its memory is leaked if it is dropped before it has been received"]
pub(crate) struct MpiReceiving {
    request: RawRequest,
    to: ManuallyDrop<Vec<u8>>,
    arrival: MpiArrival,
    is_done: bool,
}

/// MPI can be started once in a process.
static IS_STARTED: AtomicBool = AtomicBool::new(false);

impl MpiSession {
    /// Starts MPI on this thread, checks that the table of constants fits the library, and makes errors codes that are returned.
    ///
    /// # Errors
    ///
    /// MPI has been started in this process before, by poolmap or by the program; its start fails; it offers no thread but the first
    /// what it needs; the message to itself does not come back as it went.
    pub(crate) fn begin(library: MpiLibrary) -> Result<Self, String> {
        let name = library.name().to_owned();
        let failed = |what: String| format!("could not start MPI ({}, {name}): {what}", library.version());
        let mut flag = 0;
        // SAFETY: the flag is ours. The call is allowed at any time, from any thread.
        let code = unsafe { library.calls.initialized(&mut flag) };
        if code != 0 || flag != 0 || IS_STARTED.swap(true, Ordering::AcqRel) {
            return Err(failed(
                "this process has started it before: poolmap starts MPI itself, so a program that uses MPI on its own sets \
                 POOLMAP_ENGINE=local"
                    .to_owned(),
            ));
        }
        let required = library.numbers.thread_funneled;
        let mut provided = required;
        // SAFETY: MPI is not started, and this thread is the one that starts it.
        let code = unsafe { library.calls.start(required, &mut provided) };
        if code != 0 {
            return Err(failed(format!("MPI_Init_thread returned {code}")));
        }
        if provided < required {
            return Err(failed("it was built without threads (MPI_THREAD_FUNNELED)".to_owned()));
        }
        let mut session = Self { library, rank: 0, size: 1, host: String::new(), _thread: PhantomData };
        session.prepare().map_err(|error| session.failed_start(&error.to_string()))?;
        session.test_self().map_err(|what| session.failed_start(&what))?;
        Ok(session)
    }

    /// This process's number.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// How many processes there are.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// This machine's name, as MPI has it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The library that was started.
    pub(crate) fn library(&self) -> &MpiLibrary {
        &self.library
    }

    /// Begins to send a part of a body. The part is at most 2 GiB - 1 long.
    pub(crate) fn send(&self, to: usize, tag: u16, body: &MpiBody, part: Range<usize>) -> Result<MpiSending, MpiError> {
        let bytes = body.get(part).ok_or_else(|| self.refused("MPI_Isend", "the part is not in the body"))?;
        let to = self.rank_of(to).ok_or_else(|| self.refused("MPI_Isend", "there is no such rank"))?;
        let count =
            c_int::try_from(bytes.len()).map_err(|_| self.refused("MPI_Isend", "a message has at most 2 GiB - 1"))?;
        let mut request = RawRequest::new();
        // SAFETY: this is the session's thread. The bytes are those of a vector that nobody can change while this holds an `Rc` of it
        // (below), and that lives until the request has ended (`test`), or for ever.
        let code = unsafe { self.library.calls.isend(bytes.as_ptr(), count, to, c_int::from(tag), &mut request) };
        let sending =
            MpiSending { request, bytes: bytes.len(), body: ManuallyDrop::new(Rc::clone(body)), is_done: false };
        match code {
            0 => Ok(sending),
            // The library may have begun with the bytes: they are leaked.
            code => Err(self.error("MPI_Isend", code)),
        }
    }

    /// Whether a message has been sent, so that its bytes are free. Call it again and again: it is what moves messages on.
    ///
    /// # Errors
    ///
    /// The message could not be sent; it counts as finished.
    pub(crate) fn is_sent(&self, sending: &mut MpiSending) -> Result<bool, MpiError> {
        if sending.is_done {
            return Ok(true);
        }
        let (mut flag, mut status) = (0, RawStatus::new());
        // SAFETY: this is the session's thread, and the request is one that the library has made and not ended.
        let code = unsafe { self.library.calls.test(&mut sending.request, &mut flag, &mut status) };
        if code != 0 {
            // A request whose test failed has been ended by the library, but not in all versions the use of its memory: it is leaked.
            sending.is_done = true;
            return Err(self.error("MPI_Test", code));
        }
        if flag != 0 {
            sending.is_done = true;
            // SAFETY: the library has ended the request, so it uses the bytes no more; `is_done` keeps this from happening twice.
            unsafe { ManuallyDrop::drop(&mut sending.body) };
        }
        Ok(flag != 0)
    }

    /// The next message, of one rank or of any, with this tag or with any, if one is there. Between two ranks messages come in the order
    /// in which they were sent.
    pub(crate) fn probe(&self, from: Option<usize>, tag: Option<u16>) -> Result<Option<MpiArrival>, MpiError> {
        let numbers = &self.library.numbers;
        let source = match from {
            Some(from) => self.rank_of(from).ok_or_else(|| self.refused("MPI_Iprobe", "there is no such rank"))?,
            None => numbers.any_source,
        };
        let tag = tag.map_or(numbers.any_tag, c_int::from);
        let (mut flag, mut status) = (0, RawStatus::new());
        // SAFETY: this is the session's thread, and the flag and the status are ours.
        let code = unsafe { self.library.calls.iprobe(source, tag, &mut flag, &mut status) };
        if code != 0 {
            return Err(self.error("MPI_Iprobe", code));
        }
        if flag == 0 {
            return Ok(None);
        }
        self.arrival(&status).map(Some)
    }

    /// Begins to receive a message that `probe` has found, behind what is in `to`.
    ///
    /// # Errors
    ///
    /// There is no memory for the message, or the call failed. The message is still there in the former case.
    pub(crate) fn receive(&self, arrival: MpiArrival, mut to: Vec<u8>) -> Result<MpiReceiving, MpiError> {
        let refused = |what: &str| self.refused("MPI_Irecv", what);
        to.try_reserve(arrival.bytes).map_err(|_| refused(&format!("no memory for {} bytes", arrival.bytes)))?;
        let count = c_int::try_from(arrival.bytes).map_err(|_| refused("a message has at most 2 GiB - 1"))?;
        let from = self.rank_of(arrival.from).ok_or_else(|| refused("there is no such rank"))?;
        let mut request = RawRequest::new();
        let mut to = ManuallyDrop::new(to);
        let room = to.spare_capacity_mut().as_mut_ptr();
        // SAFETY: this is the session's thread; the room is for `count` bytes or more. The vector is untouched until the request has
        // ended (`received`), and its memory stays for ever if it does not.
        let code =
            unsafe { self.library.calls.irecv(room.cast(), count, from, c_int::from(arrival.tag), &mut request) };
        match code {
            0 => Ok(MpiReceiving { request, to, arrival, is_done: false }),
            // The library may have begun with the memory: it is leaked.
            code => Err(self.error("MPI_Irecv", code)),
        }
    }

    /// The bytes of a message, behind those that were there, once it has been received; they are handed out once. Call it again and
    /// again: it is what moves messages on.
    ///
    /// # Errors
    ///
    /// The message could not be received, or another came in its place.
    pub(crate) fn received(&self, receiving: &mut MpiReceiving) -> Result<Option<Vec<u8>>, MpiError> {
        if receiving.is_done {
            return Ok(None);
        }
        let (mut flag, mut status) = (0, RawStatus::new());
        // SAFETY: this is the session's thread, and the request is one that the library has made and not ended.
        let code = unsafe { self.library.calls.test(&mut receiving.request, &mut flag, &mut status) };
        if code != 0 {
            // As for a message that is sent: the memory is leaked.
            receiving.is_done = true;
            return Err(self.error("MPI_Test", code));
        }
        if flag == 0 {
            return Ok(None);
        }
        receiving.is_done = true;
        // SAFETY: the library has ended the request, so it uses the memory no more; `is_done` keeps this from happening twice.
        let mut to = unsafe { ManuallyDrop::take(&mut receiving.to) };
        let received = self.arrival(&status)?;
        if received != receiving.arrival {
            let what = format!("{received:?} came in the place of {:?}", receiving.arrival);
            return Err(self.refused("MPI_Test", &what));
        }
        // SAFETY: the library has written so many bytes there, as it says, which is what room was made for.
        unsafe { to.set_len(to.len() + received.bytes) };
        Ok(Some(to))
    }

    /// The ranks that have died, as far as the library detects that; from now on `probe` finds messages of the others again.
    pub(crate) fn acknowledge_failures(&self) -> Vec<usize> {
        // SAFETY: this is the session's thread.
        let failed = unsafe { self.library.calls.acknowledge_failures(self.size as c_int) };
        let ranks = failed.unwrap_or_default().into_iter().filter_map(|rank| usize::try_from(rank).ok());
        ranks.filter(|&rank| rank < self.size).collect()
    }

    /// Ends MPI in all processes together: each of them must call it, and none may have a message on its way.
    pub(crate) fn finish(self) -> Result<(), MpiError> {
        // SAFETY: this is the session's thread, and the session ends here.
        match unsafe { self.library.calls.finish() } {
            0 => Ok(()),
            code => Err(self.refused("MPI_Finalize", &format!("it returned {code}"))),
        }
    }

    /// Ends all processes, this one too. The launcher passes the code on where it can.
    pub(crate) fn abort(self, code: i32) -> ! {
        // SAFETY: this is the session's thread.
        unsafe { self.library.calls.abort(code) };
        exit_now(code)
    }

    fn prepare(&mut self) -> Result<(), MpiError> {
        let (mut rank, mut size) = (0, 0);
        let calls = &self.library.calls;
        // SAFETY: this is the session's thread, and the numbers are ours.
        let codes = unsafe {
            [
                ("MPI_Comm_set_errhandler", calls.return_errors()),
                ("MPI_Comm_rank", calls.rank(&mut rank)),
                ("MPI_Comm_size", calls.size(&mut size)),
            ]
        };
        if let Some(&(call, code)) = codes.iter().find(|(_, code)| *code != 0) {
            return Err(self.error(call, code));
        }
        let (Ok(rank), Ok(size)) = (usize::try_from(rank), usize::try_from(size)) else {
            return Err(self.refused("MPI_Comm_rank", "it returned a negative number"));
        };
        if rank >= size {
            return Err(self.refused("MPI_Comm_rank", &format!("it returned {rank} of {size}")));
        }
        (self.rank, self.size) = (rank, size);
        // SAFETY: this is the session's thread, and there is room for the longest name of any ABI (256).
        self.host =
            text(|bytes, length| unsafe { self.library.calls.processor_name(bytes, length) }).unwrap_or_default();
        Ok(())
    }

    fn arrival(&self, status: &RawStatus) -> Result<MpiArrival, MpiError> {
        let numbers = &self.library.numbers;
        let mut count = -1;
        // SAFETY: this is the session's thread, and the status is one that the library has filled.
        let code = unsafe { self.library.calls.count(status, &mut count) };
        let (source, tag) = (status.source(numbers), status.tag(numbers));
        let from = usize::try_from(source).ok().filter(|&from| from < self.size);
        match (code, from, u16::try_from(tag), usize::try_from(count)) {
            (0, Some(from), Ok(tag), Ok(bytes)) => Ok(MpiArrival { from, tag, bytes }),
            _ => Err(self.refused("MPI_Get_count", &format!("a message of rank {source}, tag {tag}, {count} bytes"))),
        }
    }

    fn rank_of(&self, rank: usize) -> Option<c_int> {
        c_int::try_from(rank).ok().filter(|_| rank < self.size)
    }

    fn failed_start(&self, what: &str) -> String {
        format!("could not start MPI ({}, {}): {what}", self.library.version(), self.library.name())
    }

    fn refused(&self, call: &'static str, text: &str) -> MpiError {
        MpiError { call, text: text.to_owned(), is_process_failed: false }
    }

    fn error(&self, call: &'static str, code: Code) -> MpiError {
        let calls = &self.library.calls;
        let mut class = code;
        // SAFETY: this is the session's thread; there is room for the longest text of any ABI (512).
        let text = unsafe {
            calls.error_class(code, &mut class);
            text(|bytes, length| calls.error_string(code, bytes, length))
        };
        let text = text.filter(|text| !text.is_empty()).unwrap_or_else(|| format!("code {code}"));
        MpiError { call, text, is_process_failed: self.library.numbers.class_process_failed == Some(class) }
    }
}

impl MpiSending {
    /// How many bytes it sends.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl MpiError {
    /// Whether the library reports that a peer has died.
    pub(crate) fn is_process_failed(&self) -> bool {
        self.is_process_failed
    }
}

impl std::fmt::Display for MpiError {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}: {}", self.call, self.text)
    }
}

/// Ends this process at once: no destructor and no handler of `atexit` runs, as those of a library in an unknown state may hang.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// A text that a call writes; 1 KiB is more than any ABI asks for.
fn text(get: impl FnOnce(*mut std::ffi::c_char, &mut c_int) -> Code) -> Option<String> {
    let mut bytes = [0u8; 1024];
    let mut length = 0;
    let code = get(bytes.as_mut_ptr().cast(), &mut length);
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    (code == 0).then(|| String::from_utf8_lossy(text).trim().to_owned())
}
