//! `#[redact]`: a parameter whose arguments no text shows.

use syn::{Attribute, Meta, PatType};

use crate::mistakes::Mistakes;

/// Whether a parameter is marked. `whole` says that its function is redacted as a whole.
pub(super) fn is_redacted(parameter: &PatType, whole: bool, mistakes: &mut Mistakes) -> bool {
    let mut marks = parameter.attrs.iter().filter(|attribute| is_mark(attribute));
    let Some(mark) = marks.next() else {
        return whole;
    };
    if !matches!(mark.meta, Meta::Path(_)) {
        mistakes.on(mark, "`#[redact]` takes no value: write `#[redact]`");
    } else if whole {
        mistakes.on(mark, "`#[worker(redact)]` holds for every parameter: remove one of the two");
    }
    if let Some(again) = marks.next() {
        mistakes.on(again, "`#[redact]` is given twice: remove one");
    }
    true
}

/// Refuses the mark on a state, which is no argument.
pub(super) fn check_state(parameter: &PatType, mistakes: &mut Mistakes) {
    if let Some(mark) = parameter.attrs.iter().find(|attribute| is_mark(attribute)) {
        mistakes.on(mark, "a state is no argument, and no text shows it: remove `#[redact]`");
    }
}

fn is_mark(attribute: &Attribute) -> bool {
    attribute.path().is_ident("redact")
}
