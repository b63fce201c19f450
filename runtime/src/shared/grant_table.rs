//! The grants of the tasks of the running chunk, as their worker looks them up.
//!
//! 1. There is one table: that of the chunk whose tasks are run. It comes with the chunk and goes with it.
//! 2. It is *open* only while arguments of one of these tasks are decoded, on the thread that does it. A result, a message out of
//!    a channel, the value of a mutex and anything that a task decodes itself finds nothing.
//! 3. A name is found once: then its grant is gone from the table. So no two handles come from one name, whatever a value's
//!    `Deserialize` does. The value that all tasks share is found by each of them, and read-only.
//! 4. A task of a pool in process has a table too, on the thread that runs it. What it is granted is of this process (see `own`).

use std::cell::{Cell, RefCell};

use super::grant::{Grant, Name, Right, read_grants};
use super::object_table;
use super::own::OWN;

/// The grants of a chunk.
#[derive(Default)]
struct Table {
    /// Those of values, which are found again and again; there are as many as a function has shared parameters.
    values: Vec<Grant>,
    /// The others: `None` once found.
    once: Vec<Option<Grant>>,
    /// Where the next is looked for first: names are decoded in the order in which they were encoded.
    next: usize,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
    static IS_OPEN: Cell<bool> = const { Cell::new(false) };
    /// The table is of a task that this process runs for itself.
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

impl Table {
    fn parse(bytes: &[u8]) -> Option<Self> {
        read_grants(bytes).map(Self::of)
    }

    fn of(mut grants: Vec<Grant>) -> Self {
        if IS_OWN.get() {
            grants.iter_mut().for_each(|grant| grant.segment |= OWN);
        }
        let (values, once): (Vec<Grant>, Vec<Grant>) =
            grants.into_iter().partition(|grant| grant.right == Right::Value);
        Self { values, once: once.into_iter().map(Some).collect(), next: 0 }
    }

    fn find(&mut self, name: Name, right: Right, kind: u32) -> Option<Grant> {
        let is_it = |grant: &Grant| grant.name == name && grant.right == right && grant.kind == kind;
        if right == Right::Value {
            return self.values.iter().copied().find(is_it);
        }
        let (before, from) = self.once.split_at(self.next);
        let behind = from.iter().position(|grant| grant.as_ref().is_some_and(is_it)).map(|at| before.len() + at);
        let place = behind.or_else(|| before.iter().position(|grant| grant.as_ref().is_some_and(is_it)))?;
        self.next = place + 1;
        self.once[place].take()
    }
}

/// Makes these the grants of the tasks that this thread runs; false if they are none. `message` is the number of the last message
/// about memory that came before their chunk.
pub(crate) fn begin_grants(bytes: &[u8], message: u64) -> bool {
    let table = Table::parse(bytes);
    let is_one = table.is_some();
    let table = table.unwrap_or_default();
    object_table::end_leases_but(message, &table.once);
    TABLE.replace(table);
    is_one
}

/// Takes the grants of a chunk back, which is done.
pub(crate) fn end_grants(message: u64) {
    TABLE.take();
    object_table::end_leases(message);
}

/// Lets names be found from now on: the arguments of a task are decoded.
pub(crate) fn open_table() {
    IS_OPEN.set(true);
}

/// Lets no name be found from now on.
pub(crate) fn close_table() {
    IS_OPEN.set(false);
}

/// Lets no name be found until what it returns is dropped.
pub(crate) fn closed_table() -> impl Drop {
    Restored { is_open: IS_OPEN.replace(false), is_own: IS_OWN.get(), table: None }
}

/// Until what it returns is dropped, these are the grants of the task that this process runs for itself.
pub(super) fn own_table(grants: &[Grant]) -> impl Drop + use<> {
    let is_own = IS_OWN.replace(true);
    let table = Some(TABLE.replace(Table::of(grants.to_vec())));
    Restored { is_open: IS_OPEN.replace(false), is_own, table }
}

/// Whether this thread runs a task of this process's own.
pub(crate) fn is_in_own_task() -> bool {
    IS_OWN.get()
}

/// Until what it returns is dropped, these are the grants, for a value that is in memory of its own; none if they are not
/// grants.
pub(crate) fn inner_table(bytes: &[u8]) -> Option<impl Drop + use<>> {
    let table = Some(TABLE.replace(Table::parse(bytes)?));
    Some(Restored { is_open: IS_OPEN.replace(true), is_own: IS_OWN.get(), table })
}

struct Restored {
    is_open: bool,
    is_own: bool,
    table: Option<Table>,
}

impl Drop for Restored {
    fn drop(&mut self) {
        IS_OPEN.set(self.is_open);
        IS_OWN.set(self.is_own);
        if let Some(table) = self.table.take() {
            TABLE.replace(table);
        }
    }
}

/// Takes the grant of this name, if the task whose arguments are being decoded has it.
pub(crate) fn granted(name: Name, right: Right, kind: u32) -> Option<Grant> {
    if !IS_OPEN.get() {
        return None;
    }
    TABLE.with_borrow_mut(|table| table.find(name, right, kind))
}

#[cfg(test)]
mod tests {
    use super::super::grant::write_grants;
    use super::*;

    fn grant(name: Name, right: Right) -> Grant {
        Grant { name, right, kind: 0, segment: 1, offset: 0, bytes: 8 }
    }

    fn take(name: Name, right: Right) -> bool {
        granted(name, right, 0).is_some()
    }

    #[test]
    fn a_name_is_found_once_with_its_right_and_while_arguments_are_decoded() {
        let grants: Vec<Grant> = (1..5).map(|name| grant(name, Right::Read)).chain([grant(9, Right::Value)]).collect();
        assert!(begin_grants(&write_grants(&grants), 0));
        assert!(!take(2, Right::Read));
        open_table();
        assert!(!take(2, Right::Write) && granted(2, Right::Read, 1).is_none());
        assert!(take(2, Right::Read) && !take(2, Right::Read));
        assert!(take(1, Right::Read) && take(4, Right::Read) && !take(7, Right::Read));
        assert!(take(9, Right::Value) && take(9, Right::Value) && !take(9, Right::Read));
        {
            let _closed = closed_table();
            assert!(!take(3, Right::Read));
        }
        {
            let _inner = inner_table(&write_grants(&[grant(6, Right::Read)])).unwrap();
            assert!(take(6, Right::Read) && !take(3, Right::Read));
        }
        assert!(take(3, Right::Read));
        close_table();
        assert!(!take(9, Right::Value));
        assert!(!begin_grants(&[1, 2, 3], 0));
    }
}
