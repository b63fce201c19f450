//! Records of the crate log, in a worker: each is written as an event. That crate has one logger for a process and none for a thread, so
//! records of an initializer are not written: it may be about to set a logger of its own.

use std::sync::atomic::{AtomicBool, Ordering};

use log::{LevelFilter, Log, Metadata, Record};

use super::record::{Site, ValueWriter};
use super::{forwarder, link};

/// Writes records.
struct RecordForwarder;

/// Whether the logger of this process is ours.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// Makes it the logger of this process, with this level, where the program has set none.
pub(super) fn install(level: u8) {
    if log::set_logger(&RecordForwarder).is_ok() {
        IS_OURS.store(true, Ordering::Relaxed);
        set_level(level);
    }
}

/// Sets the level that is wanted, from 0 for none to 5.
pub(super) fn set_level(level: u8) {
    if IS_OURS.load(Ordering::Relaxed) {
        let levels = LevelFilter::iter();
        log::set_max_level(levels.into_iter().nth(usize::from(level)).unwrap_or(LevelFilter::Trace));
    }
}

impl Log for RecordForwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        link::is_wanted(metadata.level() as u8)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let values = ValueWriter::message(&record.args().to_string());
        let name = match (record.file(), record.line()) {
            (Some(file), Some(line)) => format!("event {file}:{line}"),
            _ => "log record".to_owned(),
        };
        let site = Site {
            is_span: false,
            level: record.level() as u8,
            line: record.line(),
            name,
            target: record.target().to_owned(),
            file: record.file().map(str::to_owned),
            module: record.module_path().map(str::to_owned),
            fields: vec!["message".to_owned()],
        };
        link::write(|link, packet| {
            let site = link.record_site(site, packet);
            packet.event(forwarder::current(), site);
            packet.0.extend(values);
        });
    }

    fn flush(&self) {}
}
