//! Knobs from the environment, medians, and what a process has used.

use std::str::FromStr;

/// Whether `cargo bench` started this; `cargo test --all-targets` starts the same programs without `--bench`.
pub fn is_asked_for() -> bool {
    let is_asked = std::env::args().any(|argument| argument == "--bench");
    if !is_asked {
        println!("a benchmark: run it with cargo bench");
    }
    is_asked
}

/// A knob from the environment, or its default.
pub fn knob<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The median; 0 of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

/// A quantile of microseconds that are sorted already, in milliseconds.
pub fn quantile_ms(sorted_us: &[u32], quantile: f64) -> f64 {
    let last = sorted_us.len().saturating_sub(1);
    let at = (last as f64 * quantile).round() as usize;
    sorted_us.get(at).map_or(0.0, |us| f64::from(*us) / 1000.0)
}

/// Two decimals are enough for any figure here.
pub fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Seconds of processor time that a process has used; `self` is this one.
pub fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in parentheses may hold spaces; after it user time is the 12th word and system time the 13th.
    let words = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
    let ticks: f64 = words.into_iter().flatten().filter_map(|word| word.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// A line of `/proc/PROCESS/status` in MB (`VmRSS`, `VmHWM`).
pub fn memory_mb(process: &str, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let found = status.lines().find_map(|known| known.strip_prefix(line)?.strip_prefix(':'));
    let kb = found.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}
