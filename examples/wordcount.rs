//! Counts the words of files (32 MiB of what cargo has fetched, or of the folders given) in one process, then on all CPUs. A task
//! has many files: what it sends back is little beside its work.

use std::path::{Path, PathBuf};
use std::{collections::HashMap, env, fs, io, time::Instant};

use poolmap::{pool_map, worker};

#[worker]
fn count(files: &[PathBuf]) -> io::Result<HashMap<String, u64>> {
    let mut counts = HashMap::new();
    for file in files {
        for word in String::from_utf8_lossy(&fs::read(file)?).split(|c: char| !c.is_alphanumeric()) {
            *counts.entry(word.to_lowercase()).or_default() += u64::from(!word.is_empty());
        }
    }
    Ok(counts)
}

fn find_and_read(path: &Path, files: &mut Vec<PathBuf>, bytes: &mut usize) -> io::Result<()> {
    if path.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| find_and_read(&entry?.path(), files, bytes));
    }
    if *bytes < 32 << 20 {
        *bytes += fs::read(path)?.len();
        files.push(path.to_owned());
    }
    Ok(())
}

#[poolmap::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let home = env::var_os("CARGO_HOME").map_or(env::home_dir().unwrap_or_default().join(".cargo"), PathBuf::from);
    let (mut folders, mut files) = (Vec::from_iter(env::args_os().skip(1).map(PathBuf::from)), Vec::new());
    folders.extend(folders.is_empty().then(|| home.join("registry/src")));
    folders.iter().try_for_each(|folder| find_and_read(folder, &mut files, &mut 0))?;
    let (start, alone) = (Instant::now(), count(&files)?);
    let (workers, time_alone, start) = (poolmap::cpu_count(), start.elapsed(), Instant::now());
    let mut counts: HashMap<String, u64> = HashMap::new();
    for (word, number) in pool_map!(count, files.chunks(files.len() / workers / 8 + 1))?.into_iter().flatten() {
        *counts.entry(word).or_default() += number;
    }
    let (time, files) = (start.elapsed(), files.len());
    assert_eq!(alone, counts, "one process counts the same");
    println!("{files} files: {time_alone:.2?} by a plain loop in this process, {time:.2?} with {workers} workers");
    let gain = time_alone.div_duration_f64(time);
    let why = if gain > 1.0 { "" } else { " (no CPU is free, or there is too little to count)" };
    println!("{gain:.2} times as fast, from the start of the workers to the whole count{why}");
    Ok(())
}
