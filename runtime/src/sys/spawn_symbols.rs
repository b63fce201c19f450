//! The functions of the C library that not every version of it has, looked up when the program runs (rule 4 of `spawn`).

use std::ffi::CStr;

use nix::libc;

/// A function that adds an action about one descriptor.
pub(super) type AddAction = unsafe extern "C" fn(*mut libc::posix_spawn_file_actions_t, libc::c_int) -> libc::c_int;

/// The action that changes to a folder.
pub(super) fn change_folder() -> Option<AddAction> {
    // A static program finds no symbol by its name; that of musl is old enough to be there always.
    #[cfg(all(poolmap_linux, target_env = "musl"))]
    return Some(libc::posix_spawn_file_actions_addfchdir_np);
    #[cfg(not(all(poolmap_linux, target_env = "musl")))]
    symbol(c"posix_spawn_file_actions_addfchdir_np")
}

/// A function of the C library's by its name, if it has one. Its type is vouched for where it is called.
pub(super) fn symbol(name: &'static CStr) -> Option<AddAction> {
    // On Linux the ways of any Unix are those without these functions.
    if cfg!(all(target_os = "linux", not(poolmap_linux))) {
        return None;
    }
    // SAFETY: the name ends with a zero; the lookup touches no other memory of ours.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: any address but null is a value of an unsafe function's pointer, and null is None; calling it is another matter.
    unsafe { std::mem::transmute::<*mut libc::c_void, Option<AddAction>>(address) }
}
