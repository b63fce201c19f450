//! Counts the words of all files below the folders given (or the sources that cargo has fetched), in one process and then in a worker
//! for each CPU, and says what that gained.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io, time::Instant};

use poolmap::{pool_map, worker};

/// What both ways together count in seconds.
const BYTES_MAX: usize = 64 << 20;

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

/// Finds files below a path, and reads them once, so that both ways find them in the system's cache.
fn find(path: &Path, files: &mut Vec<(PathBuf, usize)>, bytes: &mut usize) -> io::Result<()> {
    if path.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| find(&entry?.path(), files, bytes));
    }
    if *bytes < BYTES_MAX {
        let length = fs::read(path)?.len();
        files.push((path.to_owned(), length));
        *bytes += length;
    }
    Ok(())
}

/// The files in groups of about so many bytes: a task has enough to do, and its result is small beside that.
fn groups(files: &[(PathBuf, usize)], bytes: usize) -> Vec<Vec<PathBuf>> {
    let mut groups = vec![Vec::new()];
    let mut filled = 0;
    for (file, length) in files {
        if filled > bytes {
            groups.push(Vec::new());
            filled = 0;
        }
        groups[groups.len() - 1].push(file.clone());
        filled += length;
    }
    groups
}

#[poolmap::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = env::var_os("CARGO_HOME").map_or(env::home_dir().unwrap_or_default().join(".cargo"), PathBuf::from);
    let mut folders = Vec::from_iter(env::args_os().skip(1).map(PathBuf::from));
    folders.extend(folders.is_empty().then(|| home.join("registry/src")));
    let (mut files, mut bytes) = (Vec::new(), 0);
    folders.iter().try_for_each(|folder| find(folder, &mut files, &mut bytes))?;
    println!("{} files, {:.1} MiB", files.len(), bytes as f64 / f64::from(1 << 20));

    let start = Instant::now();
    let alone = count(&Vec::from_iter(files.iter().map(|(file, _)| file.clone())))?;
    let time_alone = start.elapsed();
    println!("{time_alone:.2?} in one process, which calls the same function in a plain loop");

    let (workers, start) = (poolmap::cpu_count(), Instant::now());
    let mut counts: HashMap<String, u64> = HashMap::new();
    for (word, number) in pool_map!(count, groups(&files, bytes / (4 * workers)))?.into_iter().flatten() {
        *counts.entry(word).or_default() += number;
    }
    let time = start.elapsed();
    let gain = time_alone.as_secs_f64() / time.as_secs_f64();
    println!(
        "{time:.2?} with {workers} workers, their start and the adding up of what they count included: {gain:.2} times as fast"
    );
    if gain < 1.0 {
        println!("(nothing is gained with one CPU, on a machine that is busy, or where there is little to count)");
    }
    assert_eq!(alone, counts, "one process counts the same");

    println!("the most frequent words:");
    let mut words: Vec<_> = counts.iter().collect();
    words.sort_by_key(|&(word, number)| (std::cmp::Reverse(number), word));
    words.iter().take(20).for_each(|(word, number)| println!("{number:>9} {word}"));
    Ok(())
}
