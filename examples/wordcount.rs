//! Counts the words of all files below the folders given (or the sources that cargo has fetched) on all CPUs, then on one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io, time::Instant};

use poolmap::{pool_map, worker};

#[worker]
fn count(files: &[PathBuf]) -> io::Result<HashMap<String, u64>> {
    let mut counts = HashMap::new();
    for file in files {
        let text = fs::read(file)?;
        for word in String::from_utf8_lossy(&text).split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
        {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
    }
    Ok(counts)
}

/// Finds the files below a path, and reads them once, so that both counts find them in the system's cache.
fn find(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<usize> {
    if path.is_dir() {
        return fs::read_dir(path)?.map(|entry| find(&entry?.path(), files)).sum();
    }
    files.push(path.to_owned());
    Ok(fs::read(path)?.len())
}

#[poolmap::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = env::var_os("CARGO_HOME").map_or(env::home_dir().unwrap_or_default().join(".cargo"), PathBuf::from);
    let (mut folders, mut files) = (Vec::from_iter(env::args_os().skip(1).map(PathBuf::from)), Vec::new());
    folders.extend(folders.is_empty().then(|| home.join("registry/src")));
    let bytes: usize = folders.iter().map(|folder| find(folder, &mut files)).sum::<io::Result<_>>()?;
    let start = Instant::now();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for (word, number) in pool_map!(count, files.chunks(256))?.into_iter().flatten() {
        *counts.entry(word).or_default() += number;
    }
    println!("{} files, {bytes} bytes, {:.2?} with {} workers", files.len(), start.elapsed(), poolmap::cpu_count());
    let start = Instant::now();
    assert_eq!(count(&files)?, counts, "one process counts the same");
    println!("{:.2?} in one process; the most frequent words:", start.elapsed());
    let mut words: Vec<_> = counts.iter().collect();
    words.sort_by_key(|&(word, number)| (std::cmp::Reverse(number), word));
    words.iter().take(20).for_each(|(word, number)| println!("{number:>9} {word}"));
    Ok(())
}
