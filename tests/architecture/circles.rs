//! No files of a folder use one another in a circle.
//!
//! A file uses another where it names it, or what it re-exports, by a path that begins with `use`, `super`, `self` or `crate`.
//! A folder `x/` and its `x.rs` or `x/mod.rs` are one there, for whoever stands beside them: inside the folder, a file may use
//! what its parent defines, and its parent may use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::sources;

/// The names that lead from the root to a module or an item.
type Names = Vec<String>;
/// In a folder, the files of it that each file uses, and in which of its files that is.
type Ties = BTreeMap<String, BTreeMap<String, Names>>;

/// They close circles of two, and may: a type and its builder, a trait and what implements it, data and where it is read from.
const ALLOWED: [(&str, &str, &str); 3] =
    [("error", "call", "sync"), ("map", "columns", "broadcast"), ("pool", "handle", "builder")];

/// The modules of a crate, each with the names that it imports and the paths that it uses.
struct Modules(BTreeMap<Names, Module>);

#[derive(Default)]
struct Module {
    imports: BTreeMap<String, Names>,
    paths: BTreeSet<Names>,
}

impl Modules {
    fn of(folder: &str) -> Self {
        let files = sources(folder).into_iter().map(|(path, text)| (names(&crate::root().join(folder), &path), text));
        let files: BTreeMap<Names, String> = files.collect();
        let tests: Vec<Names> = files.iter().flat_map(|(module, text)| test_modules(module, text)).collect();
        let is_test = |module: &Names| tests.iter().any(|test| module.starts_with(test));
        let files = files.into_iter().filter(|(module, _)| !is_test(module));
        Self(files.map(|(module, text)| (module.clone(), Module::read(&module, &text))).collect())
    }

    /// The module that a path leads to, by way of re-exports.
    fn owner(&self, path: &[String], steps: usize) -> Names {
        let mut at = Names::new();
        for (taken, name) in path.iter().enumerate() {
            let child = [&at[..], std::slice::from_ref(name)].concat();
            if self.0.contains_key(&child) {
                at = child;
                continue;
            }
            let import = self.0.get(&at).and_then(|module| module.imports.get(name));
            return match import.filter(|_| steps > 0) {
                Some(import) => self.owner(&[&import[..], &path[taken + 1..]].concat(), steps - 1),
                None => at,
            };
        }
        at
    }

    /// Who uses whom, in each folder.
    fn ties(&self) -> BTreeMap<Names, Ties> {
        let mut folders: BTreeMap<Names, Ties> = BTreeMap::new();
        for (user, module) in &self.0 {
            for path in &module.paths {
                let used = self.owner(path, 8);
                let common = user.iter().zip(&used).take_while(|(a, b)| a == b).count();
                // The root is the rows'; a parent and its child may use each other.
                if common == 0 || common == user.len() || common == used.len() {
                    continue;
                }
                let ties = folders.entry(user[..common].to_vec()).or_default();
                let by = format!("{}: {}", user.join("/"), path.join("::"));
                ties.entry(user[common].clone()).or_default().entry(used[common].clone()).or_default().push(by);
            }
        }
        folders
    }
}

impl Module {
    fn read(module: &[String], text: &str) -> Self {
        let code: Vec<&str> = crate::code(product(text)).map(|line| line.split(" // ").next().unwrap()).collect();
        let code = code.join("\n");
        let mut read = Self::default();
        let starts = ["use ", "super::", "self::", "crate::"];
        for (at, start) in starts.iter().flat_map(|start| code.match_indices(start)) {
            let is_inside = code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c));
            if is_inside {
                continue;
            }
            let is_import = start == "use ";
            let text = if is_import { &code[at + start.len()..] } else { &code[at..] };
            let mut paths = Vec::new();
            tree(text, &[], &mut paths);
            for (path, name) in paths {
                let path = absolute(module, path);
                if is_import {
                    read.imports.insert(name, path.clone());
                }
                read.paths.insert(path);
            }
        }
        read
    }
}

/// A file without the module of its tests, which stands at its end.
fn product(text: &str) -> &str {
    text.split("\nmod tests {").next().unwrap()
}

/// The names of a file's module.
fn names(root: &Path, path: &Path) -> Names {
    let inner = path.strip_prefix(root).unwrap().with_extension("");
    let names = inner.components().map(|part| part.as_os_str().to_str().unwrap().to_owned());
    names.filter(|name| name != "mod" && name != "lib").collect()
}

/// The modules of a file that are tests.
fn test_modules(module: &[String], text: &str) -> Vec<Names> {
    let lines: Vec<&str> = text.lines().collect();
    let is_test = |pair: &[&str]| {
        pair[0].trim().starts_with("#[cfg(") && (pair[0].contains("test") || pair[0].contains("fuzzing"))
    };
    let declared = lines.windows(2).filter(|pair| is_test(pair)).filter_map(|pair| {
        let name = pair[1].trim().strip_prefix("pub(crate) ").unwrap_or(pair[1].trim()).strip_prefix("mod ")?;
        name.strip_suffix(';').map(str::to_owned)
    });
    declared.map(|name| [module, &[name]].concat()).collect()
}

/// The paths of a path or a tree of them, each with the name that an import of it gives; what stands behind the tree.
fn tree<'a>(text: &'a str, before: &[String], paths: &mut Vec<(Names, String)>) -> &'a str {
    let mut path = before.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(group) = rest.strip_prefix('{') {
            rest = group.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                rest = tree(rest, &path, paths).trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            }
            return rest.get(1..).unwrap_or("");
        }
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        if !name.is_empty() {
            path.push(name.to_owned());
        }
        match behind.strip_prefix("::") {
            Some(further) if !name.is_empty() => rest = further,
            _ => {
                let name = path.last().cloned().unwrap_or_default();
                let (alias, behind) = match behind.strip_prefix(" as ") {
                    Some(alias) => {
                        let end = alias.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(alias.len());
                        (alias[..end].to_owned(), &alias[end..])
                    }
                    None => (name, behind),
                };
                // `self` in a tree is what the tree hangs on.
                if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                    path.pop();
                }
                let alias = if alias == "self" { path.last().cloned().unwrap_or_default() } else { alias };
                paths.push((path, alias));
                // Whatever else stands there, as `*`, ends the path, and the reading goes on behind it.
                let end = behind.strip_prefix('*').unwrap_or(behind);
                return if end.len() == text.len() { end.get(1..).unwrap_or("") } else { end };
            }
        }
    }
}

/// A path from the root.
fn absolute(module: &[String], path: Names) -> Names {
    let ups = path.iter().take_while(|name| *name == "super").count();
    match path.first().map(String::as_str) {
        Some("crate") => path[1..].to_vec(),
        Some("super") => [&module[..module.len().saturating_sub(ups)], &path[ups..]].concat(),
        Some("self") if path.get(1).is_some_and(|name| name == "super") => absolute(module, path[1..].to_vec()),
        Some("self") => [module, &path[1..]].concat(),
        // A child, or a foreign crate: that is found nowhere.
        _ => [module, &path[..]].concat(),
    }
}

/// The shortest way from one file to another by what they use.
fn way(ties: &Ties, from: &str, to: &str) -> Option<Names> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = vec![from];
    while !next.is_empty() {
        let mut further = Vec::new();
        for at in next {
            for used in ties.get(at).into_iter().flat_map(BTreeMap::keys) {
                if used == to {
                    let mut way = vec![to.to_owned(), at.to_owned()];
                    while let Some(at) = before.get(way.last().unwrap().as_str()) {
                        way.push((*at).to_owned());
                    }
                    way.reverse();
                    return Some(way);
                }
                if used != from && !before.contains_key(used.as_str()) {
                    before.insert(used, at);
                    further.push(used.as_str());
                }
            }
        }
        next = further;
    }
    None
}

/// The circles of a crate: one for each group of files that use one another.
fn circles(folder: &str) -> Vec<String> {
    let mut circles = Vec::new();
    for (place, mut ties) in Modules::of(folder).ties() {
        let place = place.join("/");
        for (at, user, used) in ALLOWED {
            if at == place {
                ties.get_mut(user).and_then(|used_by| used_by.remove(used));
            }
        }
        let mut seen = BTreeSet::new();
        for file in ties.keys() {
            if seen.contains(file) {
                continue;
            }
            let Some(circle) = way(&ties, file, file) else {
                continue;
            };
            let group = ties.keys().filter(|other| {
                *other == file || (way(&ties, file, other).is_some() && way(&ties, other, file).is_some())
            });
            let group: Vec<&str> = group.map(String::as_str).collect();
            seen.extend(group.iter().map(|name| (*name).to_owned()));
            let by: Vec<&str> = circle.windows(2).map(|pair| ties[&pair[0]][&pair[1]][0].as_str()).collect();
            circles.push(format!(
                "{folder}/{place}: {} ({} files: {}; by {})",
                circle.join(" → "),
                group.len(),
                group.join(", "),
                by.join("; "),
            ));
        }
    }
    circles
}

#[test]
fn no_files_of_a_folder_use_one_another_in_a_circle() {
    let found: Vec<String> = ["runtime/src", "macros/src"].iter().flat_map(|folder| circles(folder)).collect();
    assert!(found.is_empty(), "{} circles of files:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_rule_of_circles_sees_every_form_of_import() {
    let user: Names = ["pool", "queue", "call"].map(str::to_owned).into();
    let text = "use super::{Call as Other, worker::{self, Held}};\nlet x = self::a(super::super::seat::B, crate::wire::c());\n\
                // crate::map\n#[cfg(test)]\nmod tests {\n    use crate::error::E;";
    let read = Module::read(&user, text);
    let paths: Vec<String> = read.paths.iter().map(|path| path.join("::")).collect();
    let of_queue = ["pool::queue::Call", "pool::queue::call::a", "pool::queue::worker", "pool::queue::worker::Held"];
    assert_eq!(paths, [&of_queue[..], &["pool::seat::B", "wire::c"]].concat());
    assert_eq!(read.imports["Other"].join("::"), of_queue[0]);
    assert_eq!(read.imports["worker"].join("::"), of_queue[2]);
}

#[test]
fn a_circle_is_found_through_a_re_export_and_named() {
    let module = |name: &str, text: &str| {
        let names: Names = name.split("::").map(str::to_owned).collect();
        (names.clone(), Module::read(&names, text))
    };
    let modules = Modules(BTreeMap::from([
        module("pool", "pub(crate) use core::Shared;\nuse self::seat::Seat as Place;"),
        module("pool::core", "use super::Place;"),
        module("pool::seat", "use super::queue::Queue;"),
        module("pool::queue", "fn f(shared: &crate::pool::Shared) {}"),
        module("pool::queue::call", "use super::Queue;"),
    ]));
    let ties = &modules.ties()[&vec!["pool".to_owned()]];
    assert_eq!(way(ties, "core", "core").unwrap().join(" "), "core seat queue core");
    assert_eq!(modules.ties().len(), 1);
}
