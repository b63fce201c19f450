//! The rules of ARCHITECTURE.md that a program can check.

#[path = "architecture/circles.rs"]
mod circles;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the runtime, lowest first: a row uses the rows above it, never one below.
const ROWS: [&[&str]; 28] = [
    &["foreign"],
    &["locks"],
    &["error"],
    &["task"],
    &["digest"],
    &["sys"],
    &["native"],
    &["progress"],
    &["failpoints"],
    &["codec"],
    &["sandbox"],
    &["shared"],
    &["sync"],
    &["wire"],
    &["journal"],
    &["replay"],
    &["output"],
    &["trace"],
    &["functions"],
    &["transport"],
    &["recording"],
    &["worker"],
    &["child"],
    &["in_process"],
    &["pool"],
    &["cluster"],
    &["map", "process"],
    &["entry"],
];
/// They never meet but in the rows above both.
const STRANGERS: [(&str, &str); 2] = [("worker", "pool"), ("pool", "worker")];
/// Each foreign crate has one owner, and stands in no other module.
const OWNERS: [(&str, &str); 20] = [
    ("nix", "sys"),
    ("libc", "sys"),
    ("typeid", "sys"),
    ("bytemuck", "sys"),
    ("addr2line", "native"),
    ("object", "native"),
    ("bincode", "codec"),
    ("landlock", "sandbox"),
    ("seccompiler", "sandbox"),
    ("futures_core", "map"),
    ("serde_json", "codec"),
    ("inventory", "functions"),
    ("indicatif", "progress"),
    ("tracing", "trace"),
    ("tracing_core", "trace"),
    ("log", "trace"),
    ("async_nats", "cluster"),
    ("bytes", "cluster"),
    ("futures_util", "cluster"),
    ("tokio", "cluster"),
];
/// They name things of all modules, and hold no logic.
const FRONTS: [&str; 6] = ["lib", "__fuzzing", "__private", "attributes", "guide", "macros"];
const LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const EXAMPLE_LINES_MAX: usize = 50;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below a folder, with their text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(!files.is_empty(), "no sources in {folder}");
    files
}

/// The top-level module of the runtime that a file belongs to.
fn module(path: &Path) -> String {
    let inner = path.strip_prefix(root().join("runtime/src")).unwrap();
    let first = inner.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// A file without its tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

/// The lines of a file that are code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"))
}

/// The modules of the runtime that a file names behind `crate::`.
fn used(text: &str) -> BTreeSet<String> {
    let code = code(text).collect::<Vec<_>>().join("\n");
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` stands in macros, and names the public face.
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap().split(',').collect(),
            None => vec![rest],
        };
        used.extend(names.into_iter().map(|name| {
            let name = name.trim_start();
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
            name[..end].to_owned()
        }));
    }
    used.retain(|name| !name.is_empty());
    used
}

fn row(module: &str) -> usize {
    let row = ROWS.iter().position(|row| row.contains(&module));
    row.unwrap_or_else(|| panic!("`{module}` has no row here and in ARCHITECTURE.md"))
}

#[test]
fn a_module_uses_the_rows_above_it_only() {
    for (path, text) in sources("runtime/src") {
        let module = module(&path);
        if FRONTS.contains(&module.as_str()) {
            continue;
        }
        for used in used(&text) {
            if used == module {
                continue;
            }
            assert!(row(&used) < row(&module), "{} uses `{used}`, which stands below it", path.display());
            let strangers = STRANGERS.contains(&(module.as_str(), used.as_str()));
            assert!(!strangers, "{} uses `{used}`: they meet in wire, transport and functions only", path.display());
        }
    }
}

#[test]
fn transport_moves_bytes_and_runs_nothing() {
    for (path, text) in sources("runtime/src/transport") {
        // Its tests run tasks as a worker does.
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        let names = used(product(&text)).contains("functions");
        assert!(is_test || !names, "{} uses `functions`: what is run belongs to worker", path.display());
    }
}

#[test]
fn the_rule_of_the_rows_sees_every_form_of_import() {
    let text = "use crate::{pool, sys, worker::run};\nuse crate::error::Error;\nlet x = crate::wire::hello();\n// crate::map\n";
    let expected = ["error", "pool", "sys", "wire", "worker"].map(str::to_owned);
    assert_eq!(used(text), BTreeSet::from(expected));
}

#[test]
fn a_foreign_crate_has_one_owner() {
    for (path, text) in sources("runtime/src") {
        let module = module(&path);
        for (foreign, owner) in OWNERS {
            let named = code(&text).any(|line| {
                line.match_indices(&format!("{foreign}::"))
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
            });
            assert!(!named || module == owner, "{} names `{foreign}`, which `{owner}` owns", path.display());
        }
    }
}

#[test]
fn unsafe_code_stands_in_sys_alone() {
    for (path, text) in sources("runtime/src").into_iter().chain(sources("macros/src")) {
        let found = code(product(&text)).any(|line| {
            ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|form| line.contains(form))
        });
        // A public function whose contract the caller answers for hands that on.
        let is_handed_on = path.ends_with("shared/file.rs");
        let is_in_place = is_handed_on || path.starts_with(root().join("runtime/src/sys"));
        assert!(!found || is_in_place, "unsafe code in {}", path.display());
    }
}

/// A change of what threads wait for is noted, and the guard of the lock wakes them.
#[test]
fn nothing_in_the_pool_wakes_a_thread_by_hand() {
    let may_wake = ["locked.rs", "wakers.rs", "pending.rs", "tests.rs"];
    for (path, text) in sources("runtime/src/pool") {
        let wakes = code(product(&text))
            .any(|line| ["notify_all()", "notify_one()", ".wake()"].iter().any(|call| line.contains(call)));
        let may = path.file_name().is_some_and(|name| may_wake.iter().any(|may| name == *may));
        assert!(may || !wakes, "{} wakes a thread by hand", path.display());
    }
}

#[test]
fn files_open_with_what_they_are_for_and_are_short() {
    for folder in ["runtime/src", "macros/src", "tests", "examples"] {
        for (path, text) in sources(folder) {
            // What must not compile is as short as it can be, and says what it shows by its name.
            if path.starts_with(root().join("tests/macros/tests/ui")) {
                continue;
            }
            let shown = path.display();
            let opens = text.starts_with("//! ") || text.starts_with("#![doc = include_str!(");
            assert!(opens, "{shown} does not open with `//!`");
            let lines = text.lines().count();
            let most = if folder == "examples" { EXAMPLE_LINES_MAX } else { LINES_MAX };
            assert!(lines <= most, "{shown} has {lines} lines, more than {most}");
            if folder != "tests" && path.file_name().is_some_and(|name| name == "mod.rs" || name == "lib.rs") {
                let logic = code(&text).find(|line| line.starts_with("fn ") || line.starts_with("pub(crate) fn "));
                assert_eq!(logic, None, "{shown} names things and holds no logic");
            }
        }
    }
}

#[test]
fn functions_are_short() {
    for folder in ["runtime/src", "macros/src"] {
        for (path, text) in sources(folder) {
            let lines: Vec<&str> = product(&text).lines().collect();
            for (start, line) in lines.iter().enumerate() {
                let indent = line.len() - line.trim_start().len();
                let is_function = line.trim_start().split(' ').take(4).any(|word| word == "fn");
                if !is_function || line.ends_with([';', '}']) || line.trim_start().starts_with("//") {
                    continue;
                }
                let close = format!("{}}}", " ".repeat(indent));
                let length = lines[start..].iter().position(|line| *line == close).unwrap_or(0);
                let shown = path.display();
                assert!(length < FUNCTION_LINES_MAX, "{shown}:{} has a function of {length} lines", start + 1);
            }
        }
    }
}

/// Names that two types may have: the two forms of one type, of which a feature chooses; and a trait that only the macros name.
const NAMED_TWICE: [&str; 4] = ["CallLog", "Output", "Shown", "WorkerLog"];

/// The name of the type that a line defines at the top of a module, if it does.
fn defined_type(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) => rest.strip_prefix('(').map_or(rest, |rest| rest.split_once(')').map_or("", |(_, rest)| rest)),
        None => line,
    };
    let line = line.strip_prefix(' ').filter(|line| !line.starts_with(' ')).unwrap_or(line);
    let line = line.strip_prefix("unsafe ").unwrap_or(line);
    let name = ["struct ", "enum ", "trait ", "type ", "union "].iter().find_map(|word| line.strip_prefix(word))?;
    Some(&name[..name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len())])
}

#[test]
fn no_two_types_have_one_name() {
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources("runtime/src") {
        if path.components().any(|part| part.as_os_str().to_string_lossy().trim_end_matches(".rs") == "tests") {
            continue;
        }
        for name in product(&text).lines().filter_map(defined_type) {
            files.entry(name.to_owned()).or_default().push(path.display().to_string());
        }
    }
    assert!(files.contains_key("Pool") && files.contains_key("ChildProcess"), "types are found");
    files.retain(|name, files| files.len() > 1 && !NAMED_TWICE.contains(&name.as_str()));
    assert!(files.is_empty(), "{files:#?}");
}
