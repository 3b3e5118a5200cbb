//! What the operating system allows this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors kept for everything but traffic: listeners, logs, checks, the operator.
const RESERVE: u64 = 128;

/// The most `maxconn` derives by itself; more must be asked for.
const DERIVED_MAX: u64 = 100_000;

/// Raises the soft limit of file descriptors to the hard one and returns it.
pub fn raise_descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

/// The connection limit in force: the configured one, or what the descriptors allow at two per connection.
pub fn maxconn(configured: u32, descriptors: u64) -> u32 {
    if configured != 0 {
        return configured;
    }
    u32::try_from((descriptors.saturating_sub(RESERVE) / 2).clamp(16, DERIVED_MAX)).unwrap_or(u32::MAX)
}

/// Worker threads: the configured number, or one per usable core.
pub fn workers(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maxconn_leaves_two_descriptors_each() {
        assert_eq!(maxconn(7, 10), 7);
        assert_eq!(maxconn(0, 1024), 448);
        assert_eq!(maxconn(0, 1 << 30), 100_000);
        assert_eq!(maxconn(0, 0), 16);
    }
}
