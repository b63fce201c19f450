//! The functions of an MPI library, with the C types of its ABI, and one face for all ABIs. It knows no rules of MPI.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::abi::{Handles, RawStatus};

/// What a call returned that did not succeed: the number is `MPI_SUCCESS` (0) in every ABI otherwise.
pub(super) type Code = c_int;

/// A request: a handle of the library's own, in memory that fits any.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct RawRequest([u8; 8]);

impl RawRequest {
    pub(super) const fn new() -> Self {
        Self([0; 8])
    }
}

/// The functions, whatever the types of the handles are.
///
/// # Safety
///
/// All methods: the caller is the thread that started MPI, and MPI has been started and not ended (but `initialized` and `start`, which
/// may be called before). Pointers are valid for what the MPI standard says that the function
/// reads and writes there.
pub(super) trait Calls: Send {
    unsafe fn initialized(&self, flag: &mut c_int) -> Code;
    unsafe fn start(&self, required: c_int, provided: &mut c_int) -> Code;
    unsafe fn finish(&self) -> Code;
    unsafe fn abort(&self, code: c_int) -> Code;
    unsafe fn return_errors(&self) -> Code;
    unsafe fn rank(&self, rank: &mut c_int) -> Code;
    unsafe fn size(&self, size: &mut c_int) -> Code;
    /// `text` has the room that the standard names, or more.
    unsafe fn processor_name(&self, text: *mut c_char, length: &mut c_int) -> Code;
    unsafe fn error_class(&self, code: Code, class: &mut c_int) -> Code;
    unsafe fn error_string(&self, code: Code, text: *mut c_char, length: &mut c_int) -> Code;
    /// The bytes stay valid and unchanged until `test` reports the end of the request.
    unsafe fn isend(&self, bytes: *const u8, count: c_int, to: c_int, tag: c_int, request: &mut RawRequest) -> Code;
    unsafe fn iprobe(&self, from: c_int, tag: c_int, flag: &mut c_int, status: &mut RawStatus) -> Code;
    /// `bytes` has room for `count`, and nothing else uses it until `test` reports the end of the request.
    unsafe fn irecv(&self, bytes: *mut u8, count: c_int, from: c_int, tag: c_int, request: &mut RawRequest) -> Code;
    unsafe fn test(&self, request: &mut RawRequest, flag: &mut c_int, status: &mut RawStatus) -> Code;
    unsafe fn count(&self, status: &RawStatus, count: &mut c_int) -> Code;
    /// The ranks that have died, all of them acknowledged; `None` where the library has no such call, or it failed.
    unsafe fn acknowledge_failures(&self, size: c_int) -> Option<Vec<c_int>>;
}

/// How a library's symbols are found.
pub(super) trait Symbols {
    /// The address of a symbol of the library.
    fn symbol(&self, name: &CStr) -> Option<*mut c_void>;
}

/// The functions of the ABI whose handles are `H`.
pub(super) struct Functions<H> {
    handles: Handles<H>,
    initialized: unsafe extern "C" fn(*mut c_int) -> Code,
    init_thread: unsafe extern "C" fn(*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int) -> Code,
    finalize: unsafe extern "C" fn() -> Code,
    abort: unsafe extern "C" fn(H, c_int) -> Code,
    comm_set_errhandler: unsafe extern "C" fn(H, H) -> Code,
    comm_rank: unsafe extern "C" fn(H, *mut c_int) -> Code,
    comm_size: unsafe extern "C" fn(H, *mut c_int) -> Code,
    get_processor_name: unsafe extern "C" fn(*mut c_char, *mut c_int) -> Code,
    error_class: unsafe extern "C" fn(Code, *mut c_int) -> Code,
    error_string: unsafe extern "C" fn(Code, *mut c_char, *mut c_int) -> Code,
    isend: unsafe extern "C" fn(*const c_void, c_int, H, c_int, c_int, H, *mut H) -> Code,
    iprobe: unsafe extern "C" fn(c_int, c_int, H, *mut c_int, *mut c_void) -> Code,
    irecv: unsafe extern "C" fn(*mut c_void, c_int, H, c_int, c_int, H, *mut H) -> Code,
    test: unsafe extern "C" fn(*mut H, *mut c_int, *mut c_void) -> Code,
    get_count: unsafe extern "C" fn(*const c_void, H, *mut c_int) -> Code,
    failures: Option<FailureFunctions<H>>,
}

/// The functions of fault tolerance (ULFM), and those of groups, which they need.
struct FailureFunctions<H> {
    failure_ack: unsafe extern "C" fn(H) -> Code,
    failure_get_acked: unsafe extern "C" fn(H, *mut H) -> Code,
    comm_group: unsafe extern "C" fn(H, *mut H) -> Code,
    group_size: unsafe extern "C" fn(H, *mut c_int) -> Code,
    group_translate_ranks: unsafe extern "C" fn(H, c_int, *const c_int, H, *mut c_int) -> Code,
    group_free: unsafe extern "C" fn(*mut H) -> Code,
}

impl<H: Copy> Functions<H> {
    /// Finds them; the error is the name of one that is missing.
    ///
    /// # Safety
    ///
    /// The symbols are those of an MPI library whose handles are `H`, which stays loaded.
    pub(super) unsafe fn find(symbols: &impl Symbols, handles: Handles<H>) -> Result<Self, String> {
        // SAFETY: each symbol is a function of the MPI standard, whose C type in this ABI is the field's, by the caller's promise.
        unsafe {
            Ok(Self {
                handles,
                initialized: function(symbols, c"MPI_Initialized")?,
                init_thread: function(symbols, c"MPI_Init_thread")?,
                finalize: function(symbols, c"MPI_Finalize")?,
                abort: function(symbols, c"MPI_Abort")?,
                comm_set_errhandler: function(symbols, c"MPI_Comm_set_errhandler")?,
                comm_rank: function(symbols, c"MPI_Comm_rank")?,
                comm_size: function(symbols, c"MPI_Comm_size")?,
                get_processor_name: function(symbols, c"MPI_Get_processor_name")?,
                error_class: function(symbols, c"MPI_Error_class")?,
                error_string: function(symbols, c"MPI_Error_string")?,
                isend: function(symbols, c"MPI_Isend")?,
                iprobe: function(symbols, c"MPI_Iprobe")?,
                irecv: function(symbols, c"MPI_Irecv")?,
                test: function(symbols, c"MPI_Test")?,
                get_count: function(symbols, c"MPI_Get_count")?,
                failures: FailureFunctions::find(symbols).ok(),
            })
        }
    }
}

impl<H: Copy> FailureFunctions<H> {
    /// # Safety
    ///
    /// As that of [`Functions::find`].
    unsafe fn find(symbols: &impl Symbols) -> Result<Self, String> {
        // SAFETY: as above; the first two are of the ULFM chapter, under the names that both libraries give them.
        unsafe {
            Ok(Self {
                failure_ack: function(symbols, c"MPIX_Comm_failure_ack")?,
                failure_get_acked: function(symbols, c"MPIX_Comm_failure_get_acked")?,
                comm_group: function(symbols, c"MPI_Comm_group")?,
                group_size: function(symbols, c"MPI_Group_size")?,
                group_translate_ranks: function(symbols, c"MPI_Group_translate_ranks")?,
                group_free: function(symbols, c"MPI_Group_free")?,
            })
        }
    }

    /// The ranks in `world` that have died, all of them acknowledged.
    ///
    /// # Safety
    ///
    /// As that of [`Calls`].
    unsafe fn acknowledge(&self, world: H, size: c_int) -> Option<Vec<c_int>> {
        let mut failed = std::mem::MaybeUninit::<H>::uninit();
        // SAFETY: the second call writes a group where it succeeds, and only then it is read.
        let failed = unsafe {
            if (self.failure_ack)(world) != 0 || (self.failure_get_acked)(world, failed.as_mut_ptr()) != 0 {
                return None;
            }
            failed.assume_init()
        };
        // SAFETY: the group is the one above.
        let ranks = unsafe { self.ranks(world, failed, size) };
        let mut failed = failed;
        // SAFETY: the group was made for us, and is not used behind this.
        unsafe { (self.group_free)(&raw mut failed) };
        ranks
    }

    /// # Safety
    ///
    /// As that of [`Calls`]; `group` is a group.
    unsafe fn ranks(&self, world: H, group: H, size: c_int) -> Option<Vec<c_int>> {
        let mut length = 0;
        let mut all = std::mem::MaybeUninit::<H>::uninit();
        // SAFETY: the calls write a number, and a group where they succeed, and only then that is read.
        let all = unsafe {
            if (self.group_size)(group, &raw mut length) != 0 || (self.comm_group)(world, all.as_mut_ptr()) != 0 {
                return None;
            }
            all.assume_init()
        };
        let length = length.clamp(0, size);
        let own: Vec<c_int> = (0..length).collect();
        let mut ranks = vec![-1; own.len()];
        // SAFETY: both lists have `length` numbers, and the groups are alive.
        let code = unsafe { (self.group_translate_ranks)(group, length, own.as_ptr(), all, ranks.as_mut_ptr()) };
        let mut all = all;
        // SAFETY: the group was made for us, and is not used behind this.
        unsafe { (self.group_free)(&raw mut all) };
        (code == 0).then_some(ranks)
    }
}

// SAFETY (each block): the method's own contract is that of the function it calls, and the handles are those of the library's ABI.
#[allow(clippy::undocumented_unsafe_blocks, reason = "one reason for all, above")]
impl<H: Copy + Send> Calls for Functions<H> {
    unsafe fn initialized(&self, flag: &mut c_int) -> Code {
        unsafe { (self.initialized)(flag) }
    }

    unsafe fn start(&self, required: c_int, provided: &mut c_int) -> Code {
        // No arguments are handed over: null pointers are allowed since MPI-2.
        unsafe { (self.init_thread)(std::ptr::null_mut(), std::ptr::null_mut(), required, provided) }
    }

    unsafe fn finish(&self) -> Code {
        unsafe { (self.finalize)() }
    }

    unsafe fn abort(&self, code: c_int) -> Code {
        unsafe { (self.abort)(self.handles.world, code) }
    }

    unsafe fn return_errors(&self) -> Code {
        unsafe { (self.comm_set_errhandler)(self.handles.world, self.handles.errors_return) }
    }

    unsafe fn rank(&self, rank: &mut c_int) -> Code {
        unsafe { (self.comm_rank)(self.handles.world, rank) }
    }

    unsafe fn size(&self, size: &mut c_int) -> Code {
        unsafe { (self.comm_size)(self.handles.world, size) }
    }

    unsafe fn processor_name(&self, text: *mut c_char, length: &mut c_int) -> Code {
        unsafe { (self.get_processor_name)(text, length) }
    }

    unsafe fn error_class(&self, code: Code, class: &mut c_int) -> Code {
        unsafe { (self.error_class)(code, class) }
    }

    unsafe fn error_string(&self, code: Code, text: *mut c_char, length: &mut c_int) -> Code {
        unsafe { (self.error_string)(code, text, length) }
    }

    unsafe fn isend(&self, bytes: *const u8, count: c_int, to: c_int, tag: c_int, request: &mut RawRequest) -> Code {
        let Handles { world, byte, .. } = self.handles;
        unsafe { (self.isend)(bytes.cast(), count, byte, to, tag, world, (&raw mut *request).cast()) }
    }

    unsafe fn iprobe(&self, from: c_int, tag: c_int, flag: &mut c_int, status: &mut RawStatus) -> Code {
        unsafe { (self.iprobe)(from, tag, self.handles.world, flag, status.as_mut_ptr()) }
    }

    unsafe fn irecv(&self, bytes: *mut u8, count: c_int, from: c_int, tag: c_int, request: &mut RawRequest) -> Code {
        let Handles { world, byte, .. } = self.handles;
        unsafe { (self.irecv)(bytes.cast(), count, byte, from, tag, world, (&raw mut *request).cast()) }
    }

    unsafe fn test(&self, request: &mut RawRequest, flag: &mut c_int, status: &mut RawStatus) -> Code {
        unsafe { (self.test)((&raw mut *request).cast(), flag, status.as_mut_ptr()) }
    }

    unsafe fn count(&self, status: &RawStatus, count: &mut c_int) -> Code {
        unsafe { (self.get_count)(status.as_ptr(), self.handles.byte, count) }
    }

    unsafe fn acknowledge_failures(&self, size: c_int) -> Option<Vec<c_int>> {
        let failures = self.failures.as_ref()?;
        unsafe { failures.acknowledge(self.handles.world, size) }
    }
}

/// A function of the library; the error names it.
///
/// # Safety
///
/// `F` is the type of a pointer to the function of that name, as C has it.
unsafe fn function<F: Copy>(symbols: &impl Symbols, name: &CStr) -> Result<F, String> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    let address = symbols.symbol(name).ok_or_else(|| name.to_string_lossy().into_owned())?;
    // SAFETY: the address is not null, is that of a function, and has the size of a pointer to one.
    Ok(unsafe { std::mem::transmute_copy(&address) })
}
