//! How long to wait before another attempt: exponential, with full jitter, bounded.

use rand::Rng;

/// A random pause up to `base_ms * 2^(attempts - 1)`, at most `cap_ms` and at least a tenth of that.
pub fn pause_ms(attempts: i32, base_ms: i64, cap_ms: i64) -> i64 {
    let exponent = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or(0);
    let ceiling = base_ms.saturating_mul(1_i64 << exponent).min(cap_ms);
    rand::rng().random_range(ceiling / 10..=ceiling)
}

#[cfg(test)]
mod tests {
    #[test]
    fn pauses_grow_and_stay_bounded() {
        for attempts in -1..40 {
            let pause = super::pause_ms(attempts, 500, 60_000);
            assert!((50..=60_000).contains(&pause), "{pause}");
        }
    }
}
