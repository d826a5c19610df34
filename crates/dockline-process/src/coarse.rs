//! A clock that is cheap to read, and coarse.

/// Returns nanoseconds on a clock that never goes back, as of the kernel's last tick: it may lag by some 10 ms, and is never ahead. 0 is
/// no time of it.
///
/// On Linux it is `CLOCK_MONOTONIC_COARSE`, a load from a page of the kernel's, which costs a fraction of what
/// [`Instant::now`](std::time::Instant::now) does. Elsewhere it is that. It says nothing in another process.
///
/// ```
/// let before = dockline_process::coarse_nanos();
/// assert!(before > 0 && dockline_process::coarse_nanos() >= before);
/// ```
#[inline]
pub fn coarse_nanos() -> u64 {
    nanos().saturating_add(1)
}

#[cfg(target_os = "linux")]
#[inline]
fn nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to the variable that it is handed and to nothing else. Where the clock is not there (Linux before 2.6.32) it
    // writes nothing.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    #[allow(clippy::useless_conversion, reason = "they are 32 bits wide on some systems")]
    u64::from(seconds).wrapping_mul(1_000_000_000).wrapping_add(u64::from(nanos))
}

#[cfg(not(target_os = "linux"))]
fn nanos() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    u64::try_from(START.get_or_init(std::time::Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_goes_on_with_the_time_and_never_back() {
        let start = coarse_nanos();
        let mut before = start;
        while before < start + u64::try_from(Duration::from_millis(50).as_nanos()).unwrap() {
            std::thread::sleep(Duration::from_millis(5));
            let now = coarse_nanos();
            assert!(now >= before);
            before = now;
        }
    }
}
