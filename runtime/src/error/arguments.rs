//! The arguments of a failed task, as its error keeps them: encoded, and as a text that is made when it is asked for. It knows nothing
//! of how arguments are encoded.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An error keeps arguments of up to so many bytes: enough for what a person looks at again, and little beside the task.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// All errors of a program together keep no more, so that a map whose tasks all fail does not hold its whole input.
const KEPT_BYTES_IN_ALL: usize = 256 << 20;
/// Arguments that are not kept have a text if they are no larger: they are decoded once for it.
const TEXT_BYTES_MAX: usize = 64 << 20;

/// The bytes that all errors of this program keep.
static KEPT_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Makes a text of encoded arguments, some of them shared: a bit for each parameter, the first the lowest.
pub(crate) type ShowArguments = fn(&[u8], u16) -> String;

/// The arguments of a failed task.
#[derive(Clone)]
pub(crate) struct FailedArguments {
    form: Form,
    shared: u16,
    show: ShowArguments,
    /// The address of the function's entry in the table, by which it is known.
    function: usize,
}

#[derive(Clone)]
enum Form {
    Kept(Arc<KeptBytes>),
    Text(Arc<str>),
}

struct KeptBytes(Box<[u8]>);

impl KeptBytes {
    /// A copy of the bytes, if there is room for it.
    fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > KEPT_BYTES_MAX {
            return None;
        }
        let add = |kept: usize| kept.checked_add(bytes.len()).filter(|&kept| kept <= KEPT_BYTES_IN_ALL);
        KEPT_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Self(bytes.into()))
    }
}

impl Drop for KeptBytes {
    fn drop(&mut self) {
        KEPT_BYTES.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

impl FailedArguments {
    /// The arguments of a task of a function, which is known by this address. It runs code of the program's where they are too large to
    /// be kept.
    pub(crate) fn new(bytes: &[u8], shared: u16, show: ShowArguments, function: usize) -> Self {
        Self::kept(bytes, shared, show, function).unwrap_or_else(|| {
            let text = if bytes.len() <= TEXT_BYTES_MAX { show(bytes, shared) } else { String::new() };
            Self { form: Form::Text(text.into()), shared, show, function }
        })
    }

    /// The same, where they are small enough to be kept.
    pub(crate) fn kept(bytes: &[u8], shared: u16, show: ShowArguments, function: usize) -> Option<Self> {
        let kept = KeptBytes::new(bytes)?;
        Some(Self { form: Form::Kept(Arc::new(kept)), shared, show, function })
    }

    /// Names and values, as `x: 1, y: 2`; empty where there are none to show. It runs code of the program's.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match &self.form {
            Form::Kept(kept) => (self.show)(&kept.0, self.shared).into(),
            Form::Text(text) => Cow::Borrowed(text),
        }
    }

    /// The encoded arguments, and which of them are shared, if they are kept and of this function.
    pub(crate) fn of_function(&self, function: usize) -> Option<(&[u8], u16)> {
        match &self.form {
            Form::Kept(kept) if self.function == function => Some((&kept.0, self.shared)),
            _ => None,
        }
    }
}

/// The text alone: the bytes may be what no text is to show.
impl fmt::Debug for FailedArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({})", self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(bytes: usize) -> FailedArguments {
        FailedArguments::new(&vec![b'x'; bytes], 0, |bytes, _| format!("bytes: {}", bytes.len()), 7)
    }

    #[test]
    fn arguments_are_kept_up_to_a_size_and_shown_beyond() {
        for (bytes, is_kept, text) in [
            (3, true, "bytes: 3"),
            (KEPT_BYTES_MAX, true, "bytes: 1048576"),
            (KEPT_BYTES_MAX + 1, false, "bytes: 1048577"),
            (TEXT_BYTES_MAX + 1, false, ""),
        ] {
            let arguments = arguments(bytes);
            assert_eq!(arguments.of_function(7).is_some(), is_kept);
            assert_eq!(arguments.text(), text);
            assert!(arguments.of_function(8).is_none());
            assert_eq!(format!("{arguments:?}"), format!("({text})"));
        }
    }

    #[test]
    fn all_errors_together_keep_no_more_than_their_share() {
        let all: Vec<_> = (0..300).map(|_| arguments(KEPT_BYTES_MAX)).collect();
        let kept = all.iter().filter(|arguments| arguments.of_function(7).is_some()).count();
        assert!((200..=256).contains(&kept), "{kept}");
        assert!(all.iter().all(|arguments| arguments.text() == "bytes: 1048576"));
        drop(all);
        assert!(arguments(KEPT_BYTES_MAX).of_function(7).is_some());
    }
}
