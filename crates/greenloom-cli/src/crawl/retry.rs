//! When to try again, and how long to wait before.

use std::time::{Duration, SystemTime};

/// First wait between two tries; doubled each time.
const FIRST: Duration = Duration::from_millis(200);
/// Longest wait between two tries, unless the server asks for more.
const LONGEST: Duration = Duration::from_secs(10);
/// A server that asks for a longer pause than this is not waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Whether an answer says "not now" rather than "no".
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// The wait before try number `attempt + 1`, where `attempt` tries (1 or more) have failed.
///
/// Exponential with jitter: half of it is fixed, half is `random` (0 to 1), so that many failed requests do not
/// come back in one burst.
pub(super) fn backoff(attempt: u32, random: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let whole = doubled.min(LONGEST);
    whole.mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
}

/// Reads a `Retry-After` header: seconds, or an HTTP date. `None` if it is neither.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_between_bounds() {
        assert_eq!(backoff(1, 1.0), Duration::from_millis(200));
        assert_eq!(backoff(1, 0.0), Duration::from_millis(100));
        assert_eq!(backoff(3, 1.0), Duration::from_millis(800));
        assert_eq!(backoff(40, 1.0), LONGEST);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(retry_after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:00 GMT", now), Some(Duration::from_secs(23)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
