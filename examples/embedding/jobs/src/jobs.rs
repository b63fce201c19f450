//! The worker functions, in a library: both programs have the same table of them.

use std::ffi::{CString, c_char};

use poolmap::worker;

unsafe extern "C" {
    fn strlen(text: *const c_char) -> usize;
}

/// Returns the length of a text by a C function, which is given a null pointer for the text "bug".
#[worker]
pub fn length(text: &str) -> Result<u64, String> {
    let text = match text {
        "bug" => None,
        text => Some(CString::new(text).map_err(|error| error.to_string())?),
    };
    // SAFETY: a string of C's, or the bug that ends this process.
    let length = unsafe { strlen(text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr())) };
    Ok(length as u64)
}
