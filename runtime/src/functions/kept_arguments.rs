//! The arguments of a failed task, read again in the parent, one by one: as they are, and as texts. It knows no function.
//!
//! 1. The worker has failed with them, so their Deserialize and Debug may be at fault: a panic of either is caught.
//! 2. Nothing is granted here. An argument that names memory or a descriptor is not read; what stands behind one in its value cannot be
//!    found, so the arguments end there. A shared argument is a name alone, and those behind it are read.
//! 3. A text takes what it shows and no more: the Debug of a large value is stopped at the limit.

use std::fmt::{self, Debug, Write as _};

use serde::de::DeserializeOwned;

use super::shared_argument::SharedName;
use crate::codec::Decoder;
use crate::foreign;

/// An argument's text is cut behind so many characters.
const CHARACTERS_MAX: usize = 80;

/// Encoded arguments, to be taken one by one.
pub struct KeptArguments<'a> {
    decoder: Decoder<'a>,
    /// Which of those that are left are shared.
    shared_left: u16,
    /// The one that was taken last is shared, and its value is not among the bytes.
    is_elsewhere: bool,
    /// One was not read, and nothing behind it can be.
    has_ended: bool,
}

impl<'a> KeptArguments<'a> {
    pub(super) fn new(bytes: &'a [u8], shared: u16) -> Self {
        Self { decoder: Decoder::new(bytes), shared_left: shared, is_elsewhere: false, has_ended: false }
    }

    /// Whether all bytes were taken.
    pub(super) fn is_at_end(&self) -> bool {
        self.decoder.is_at_end()
    }

    /// Takes the next one, which the function has as a `B`; none where it is not among the bytes.
    pub(super) fn take<B: ?Sized + 'static, T: DeserializeOwned>(&mut self) -> Option<T> {
        // A panic leaves this as it is set here.
        if std::mem::replace(&mut self.has_ended, true) {
            return None;
        }
        let is_shared = self.shared_left & 1 != 0;
        self.shared_left >>= 1;
        self.is_elsewhere = false;
        if is_shared && self.decoder.value::<SharedName>().ok()? != SharedName::inline() {
            (self.is_elsewhere, self.has_ended) = (true, false);
            return None;
        }
        self.decoder.skip_padding::<B, T>().ok()?;
        let value = self.decoder.value().ok()?;
        self.has_ended = false;
        Some(value)
    }
}

/// The texts of a task's arguments, one after another.
pub struct ArgumentTexts<'a> {
    arguments: KeptArguments<'a>,
    /// The name of the one that comes next.
    name: &'static str,
    text: String,
}

impl<'a> ArgumentTexts<'a> {
    /// No text so far.
    pub(super) fn new(arguments: KeptArguments<'a>) -> Self {
        Self { arguments, name: "", text: String::new() }
    }

    /// All texts. A `…` stands for what could not be read.
    pub(super) fn finish(mut self) -> String {
        if self.arguments.has_ended {
            self.separate();
            self.text.push('…');
        }
        self.text
    }

    /// Goes to the next argument.
    pub fn next(&mut self, name: &'static str) -> &mut KeptArguments<'a> {
        self.name = name;
        &mut self.arguments
    }

    /// Says that the argument is not to be shown.
    pub fn redacted(&mut self) {
        self.push("<redacted>");
    }

    /// Says why the argument is not there, if that is known.
    pub fn missing(&mut self) {
        if self.arguments.is_elsewhere {
            self.push("<shared>");
        }
    }

    fn push(&mut self, text: &str) {
        self.separate();
        self.text.push_str(self.name);
        self.text.push_str(": ");
        self.text.push_str(text);
    }

    fn separate(&mut self) {
        if !self.text.is_empty() {
            self.text.push_str(", ");
        }
    }
}

/// Finds the text of an argument, whatever its type. A type that is `Debug` has both implementations, and the compiler takes the first.
pub struct DebugProbe<'a, T>(pub &'a T);

/// An argument that is `Debug`.
pub trait HasDebug {
    /// Adds its text, cut where it is long.
    fn poolmap_show(&self, texts: &mut ArgumentTexts<'_>);
}

impl<T: Debug> HasDebug for DebugProbe<'_, T> {
    fn poolmap_show(&self, texts: &mut ArgumentTexts<'_>) {
        let mut cut = CutText::default();
        // An error is that of the limit, or the value's own: either way the text so far is shown.
        let written = foreign::run(|| write!(cut, "{:?}", self.0).is_ok());
        if written.is_ok() {
            texts.push(&cut.text);
        }
    }
}

/// An argument of any other type.
pub trait HasNoDebug {
    /// Leaves it out.
    fn poolmap_show(&self, texts: &mut ArgumentTexts<'_>);
}

impl<T> HasNoDebug for &DebugProbe<'_, T> {
    fn poolmap_show(&self, _texts: &mut ArgumentTexts<'_>) {}
}

/// A text of one line, which takes no more than so many characters.
#[derive(Default)]
struct CutText {
    text: String,
    characters: usize,
    is_cut: bool,
}

impl fmt::Write for CutText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.is_cut {
                return Err(fmt::Error);
            }
            if self.characters == CHARACTERS_MAX {
                self.text.push('…');
                self.is_cut = true;
                return Err(fmt::Error);
            }
            self.characters += 1;
            // An error is one line, and is printed on terminals.
            if character.is_control() {
                self.text.extend(character.escape_default());
            } else {
                self.text.push(character);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(value: &dyn Debug) -> String {
        let mut cut = CutText::default();
        let _ = write!(cut, "{value:?}");
        cut.text
    }

    struct Endless;

    impl Debug for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("ä\n")?;
            }
        }
    }

    #[test]
    fn a_text_is_cut_behind_its_last_character() {
        assert_eq!(cut(&"a".repeat(78)), format!("\"{}\"", "a".repeat(78)));
        assert_eq!(cut(&"ä".repeat(79)), format!("\"{}…", "ä".repeat(79)));
        assert_eq!(cut(&Endless), format!("{}…", "ä\\n".repeat(40)));
    }

    #[test]
    fn a_debug_that_goes_on_behind_the_limit_adds_nothing() {
        struct Deaf;
        impl Debug for Deaf {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for _ in 0..1000 {
                    let _ = f.write_str("xy");
                }
                Ok(())
            }
        }
        assert_eq!(cut(&Deaf), format!("{}…", "xy".repeat(40)));
    }
}
