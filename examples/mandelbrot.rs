//! A picture that the workers paint in place: each task gets some rows of one array, which nobody copies until it is written.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use poolmap::{SharedSliceMut, pool_map, worker};

const WIDTH: usize = 1200;
const HEIGHT: usize = 800;
const ROWS_PER_TASK: usize = 16;

/// Paints rows, red, green and blue, from the one with this number on.
#[worker]
fn paint(mut rows: SharedSliceMut<u8>, first: usize) {
    for (y, row) in (first..).zip(rows.chunks_exact_mut(3 * WIDTH)) {
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            pixel.copy_from_slice(&color(-2.4 + 3.6 * x as f64 / WIDTH as f64, -1.2 + 2.4 * y as f64 / HEIGHT as f64));
        }
    }
}

/// How soon z = z² + c leaves the circle of radius 16, as a colour; black if it never does.
fn color(re: f64, im: f64) -> [u8; 3] {
    let (mut x, mut y) = (0.0f64, 0.0f64);
    for step in 0..1000 {
        (x, y) = (x * x - y * y + re, 2.0 * x * y + im);
        let square = x * x + y * y;
        if square > 256.0 {
            let smooth = f64::from(step) + 1.0 - square.log2().log2() + 3.0;
            let wave = |phase: f64| (127.5 - 127.5 * (smooth.max(0.0).sqrt() * 0.8 + phase).cos()) as u8;
            return [wave(0.3), wave(0.8), wave(1.6)];
        }
    }
    [0; 3]
}

#[poolmap::main]
fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map_or_else(|| std::env::temp_dir().join("mandelbrot.png"), PathBuf::from);
    let mut picture = SharedSliceMut::<u8>::zeroed(3 * WIDTH * HEIGHT)?;
    pool_map!(paint, picture.chunks_mut(3 * WIDTH * ROWS_PER_TASK), (0..HEIGHT).step_by(ROWS_PER_TASK))?;

    let mut encoder = png::Encoder::new(BufWriter::new(File::create(&path)?), WIDTH as u32, HEIGHT as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&picture)?;
    println!("{}", path.display());
    Ok(())
}
