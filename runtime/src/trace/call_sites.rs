//! Call sites that workers have named, as tracing wants them: it keeps `&'static` metadata, so each is leaked, once for the program
//! however many workers name it. How many are kept is bounded.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use tracing::callsite::{self, Callsite, Identifier};
use tracing::field::FieldSet;
use tracing::metadata::Kind;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata};

use super::record::Site;
use crate::locks::{Lock, Rank, Ranked};
use crate::sys::PerProcess;

/// So many are kept for this process, of some hundred bytes each: more than large programs have.
pub(super) const SITES_MAX: usize = 16 * 1024;

/// Those that are kept.
static KEPT: PerProcess<Lock<CallSites>> = PerProcess::new();

#[derive(Default)]
struct CallSites(BTreeMap<Site, &'static Metadata<'static>>);

impl Ranked for CallSites {
    const RANK: Rank = Rank::LogSites;
}

/// A call site of a worker.
struct WorkerCallSite {
    metadata: OnceLock<Metadata<'static>>,
}

impl Callsite for WorkerCallSite {
    /// The subscriber of each event is asked when it comes: it may be another for each call.
    fn set_interest(&self, _interest: Interest) {}

    fn metadata(&self) -> &Metadata<'_> {
        self.metadata.get().expect("it is registered once its metadata is set")
    }
}

/// Returns the metadata of a call site; none if there are too many. It runs code of subscribers.
pub(super) fn metadata(site: &Site) -> Option<&'static Metadata<'static>> {
    let mut kept = KEPT.get().lock();
    if let Some(metadata) = kept.0.get(site) {
        return Some(metadata);
    }
    if kept.0.len() >= SITES_MAX {
        return None;
    }
    let call_site = leak(site);
    let metadata = call_site.metadata.get()?;
    kept.0.insert(site.clone(), metadata);
    drop(kept);
    // A subscriber may keep rules by call site, and learns of each first.
    callsite::register(call_site);
    Some(metadata)
}

fn leak(site: &Site) -> &'static WorkerCallSite {
    let call_site: &'static WorkerCallSite = Box::leak(Box::new(WorkerCallSite { metadata: OnceLock::new() }));
    let text = |text: &String| -> &'static str { text.clone().leak() };
    let fields: Vec<&'static str> = site.fields.iter().map(text).collect();
    let fields = FieldSet::new(fields.leak(), Identifier(call_site));
    let kind = if site.is_span { Kind::SPAN } else { Kind::EVENT };
    let (file, module) = (site.file.as_ref().map(text), site.module.as_ref().map(text));
    call_site.metadata.get_or_init(|| {
        Metadata::new(text(&site.name), text(&site.target), level(site.level), file, site.line, module, fields, kind)
    });
    call_site
}

/// The level of this number.
fn level(number: u8) -> Level {
    match number {
        1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    }
}

/// The number of a level: from 1, for ERROR, to 5.
pub(super) fn level_number(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        _ => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_site_is_kept_once_with_all_that_it_says() {
        let site = Site {
            is_span: true,
            level: 4,
            line: Some(9),
            name: "resize".to_owned(),
            target: "jobs".to_owned(),
            file: None,
            module: Some("jobs::images".to_owned()),
            fields: vec!["width".to_owned()],
        };
        let first = metadata(&site).unwrap();
        assert!(std::ptr::eq(first, metadata(&site.clone()).unwrap()));
        assert!(first.is_span() && *first.level() == Level::DEBUG && first.line() == Some(9));
        assert_eq!((first.name(), first.target(), first.file()), ("resize", "jobs", None));
        assert_eq!((first.module_path(), first.fields().field("width").is_some()), (Some("jobs::images"), true));
        assert!(!std::ptr::eq(first, metadata(&Site { line: Some(10), ..site }).unwrap()));
    }
}
