//! A folder on the disk of the build, which is a real one where the temporary folder may be memory.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where the benches keep files: `BENCH_DIR`, or the build's own folder for such things.
pub fn folder() -> PathBuf {
    std::env::var_os("BENCH_DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from)
}

/// A new folder that goes with the value.
///
/// # Errors
/// The disk's.
pub fn fresh() -> anyhow::Result<tempfile::TempDir> {
    std::fs::create_dir_all(folder())?;
    Ok(tempfile::Builder::new().prefix("bench-").tempdir_in(folder())?)
}

/// Times `count` flushes of one page that is there already: the least that a durable answer can take.
///
/// # Errors
/// The disk's.
pub fn probe_flush(folder: &Path, count: usize) -> anyhow::Result<Vec<u32>> {
    let mut file = std::fs::File::create(folder.join("probe"))?;
    let page = [7_u8; 4096];
    file.write_all(&page)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    times.sort_unstable();
    Ok(times)
}
