//! A real parser, of pictures, over files that somebody has tampered with: each file has an outcome, nothing hangs, and nothing is left. So
//! many files are tried as `POOLMAP_MUTATED_FILES` says, and a few thousand by default.

mod common;

use std::time::Duration;

use common::numbers::Random;
use poolmap::{Pool, Sandbox, TaskErrorKind, pool_try_map, worker};

/// More than any of these pictures needs, and less than what a header can ask for.
const PICTURE_BYTES_MAX: usize = 16 << 20;
const BATCH: u64 = 5000;

/// Decodes a picture, and sums its bytes.
#[worker]
fn decode(file: &[u8]) -> Result<u64, String> {
    let mut decoder =
        png::Decoder::new_with_limits(std::io::Cursor::new(file), png::Limits { bytes: PICTURE_BYTES_MAX });
    // A file of an attacker has the checksums that it should have.
    decoder.ignore_checksums(true);
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let bytes = reader.output_buffer_size().filter(|&bytes| bytes <= PICTURE_BYTES_MAX);
    let mut picture = vec![0; bytes.ok_or("it is too large")?];
    reader.next_frame(&mut picture).map_err(|error| error.to_string())?;
    Ok(picture.iter().map(|&byte| u64::from(byte)).sum())
}

/// Pictures of each kind of pixel, and with a palette, text and animation frames.
fn pictures() -> Vec<Vec<u8>> {
    use png::{BitDepth, ColorType};

    let kinds = [
        (ColorType::Grayscale, BitDepth::One, 1),
        (ColorType::Grayscale, BitDepth::Sixteen, 16),
        (ColorType::Rgb, BitDepth::Eight, 24),
        (ColorType::Rgba, BitDepth::Eight, 32),
        (ColorType::GrayscaleAlpha, BitDepth::Eight, 16),
        (ColorType::Indexed, BitDepth::Four, 4),
    ];
    let picture = |(color, depth, bits): (ColorType, BitDepth, usize)| {
        let (width, height) = (24, 16);
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == ColorType::Indexed {
            encoder.set_palette((0..48).collect::<Vec<u8>>());
            encoder.set_trns([7, 9, 11].as_slice());
        } else {
            encoder.add_text_chunk("Title".to_owned(), "a picture".to_owned()).unwrap();
            encoder.add_ztxt_chunk("Comment".to_owned(), "packed ".repeat(9)).unwrap();
        }
        let row_bytes = (width as usize * bits).div_ceil(8);
        let pixels: Vec<u8> = (0..row_bytes * height as usize).map(|at| (at * 7 / 3) as u8).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        file
    };
    kinds.map(picture).into()
}

/// The file with this number: one of the pictures, and all but each hundredth are changed.
fn file(pictures: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut random = Random(number);
    let mut file = pictures[place(&mut random, pictures.len())].clone();
    if is_whole(number) {
        return file;
    }
    for _ in 0..1 + random.below(4) {
        let at = place(&mut random, file.len());
        let value = random.next();
        match random.below(6) {
            0 => file[at] ^= 1 << (value % 8),
            1 => file[at] = value as u8,
            // A length, or a size of the picture.
            2 => file[at..].iter_mut().zip((value as u32).to_be_bytes()).for_each(|(byte, new)| *byte = new),
            3 => file.truncate(at.max(1)),
            4 => {
                let part = file[at..(at + random.below(64) as usize).min(file.len())].to_vec();
                file.splice(at..at, part);
            }
            _ => {
                let end = (at + random.below(16) as usize).min(file.len() - 1);
                file.drain(at..end.max(at));
            }
        }
    }
    file
}

/// A place in so many bytes.
fn place(random: &mut Random, length: usize) -> usize {
    random.below(length.max(1) as u64) as usize
}

fn is_whole(number: u64) -> bool {
    number.is_multiple_of(100)
}

#[poolmap::test]
fn each_file_has_an_outcome() {
    let guard = common::guard();
    let files = std::env::var("POOLMAP_MUTATED_FILES").map_or(4 * BATCH, |files| files.parse().unwrap());
    guard.allow(Duration::from_millis(files));
    let pictures = pictures();
    let sums: Vec<u64> = pictures.iter().map(|picture| decode(picture).unwrap()).collect();
    let sandbox = Sandbox::strict().best_effort();
    let pool = Pool::builder().workers(2).sandbox(sandbox).build().unwrap();
    let [mut decoded, mut refused, mut ended] = [0, 0, 0];
    for first in (0..files).step_by(BATCH as usize) {
        let numbers = first..(first + BATCH).min(files);
        let inputs = numbers.clone().map(|number| file(&pictures, number));
        let outcomes = pool_try_map!(in &pool, decode, inputs; timeout = common::SOON).unwrap();
        assert_eq!(outcomes.len(), numbers.clone().count());
        for (number, outcome) in numbers.zip(outcomes) {
            match outcome {
                Ok(sum) => {
                    assert!(!is_whole(number) || sums.contains(&sum), "file {number}");
                    decoded += 1;
                }
                Err(error) if matches!(error.kind(), TaskErrorKind::Failed { .. }) => refused += 1,
                // A parser that panics, crashes or hangs costs its file alone.
                Err(error) => {
                    assert!(!matches!(error.kind(), TaskErrorKind::Denied { .. }), "file {number}: {error}");
                    ended += 1;
                }
            }
        }
    }
    println!("{files} files: {decoded} decoded, {refused} refused, {ended} ended their task");
    assert!(decoded > files / 100 && refused > files / 10, "the files are neither all whole nor all spoilt");
}
